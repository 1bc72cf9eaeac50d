// How long a batch is away when the process that has it dies and nothing else happens: from the kill to a handler that has it again.

import { setTimeout as delay } from "node:timers/promises";
import { within } from "./deadline.ts";
import { callApi, resultOf } from "./client.ts";
import type { ProvedQueue } from "./deployment.ts";
import { now } from "./ledger.ts";
import type { Ledger } from "./ledger.ts";
import { bodyOf } from "./message-body.ts";
import type { Recorder } from "./recorder.ts";
import type { ServerKeeper } from "./server-keeper.ts";

/** Deaths in one life of the server: the host waits longer and longer before it starts what keeps dying. */
const deathsInALife = 3;

export interface MeasureOptions {
  readonly keeper: ServerKeeper;
  readonly ledger: Ledger;
  readonly recorder: Recorder;
  readonly queues: readonly ProvedQueue[];
  /** Lives of the server. */
  readonly rounds: number;
}

export async function measureRedelivery({ keeper, ledger, recorder, queues, rounds }: MeasureOptions): Promise<void> {
  const queue = queues.find(({ consumer }) => consumer === "push");
  if (queue === undefined) throw new Error("no queue is pushed");
  for (let round = 1; round <= rounds; round += 1) {
    await keeper.end("SIGTERM");
    const addresses = await keeper.start();
    for (let deathsBefore = 0; deathsBefore < deathsInALife; deathsBefore += 1) {
      const taken = Promise.withResolvers<void>();
      const again = Promise.withResolvers<number>();
      let reports = 0;
      recorder.onReport = async () => {
        reports += 1;
        if (reports > 1) again.resolve(now());
        else {
          taken.resolve();
          await new Promise(() => undefined); // in flight until its process dies
        }
      };
      const ids = Array.from({ length: 10 }, (_, index) => `p0-${round * 100 + deathsBefore * 10 + index}`);
      const send = -(round * 10 + deathsBefore);
      ledger.note({ kind: "offered", send, door: "rest-bulk", queue: queue.name, ids, delaySeconds: 0 });
      const messages = ids.map((id) => ({ body: bodyOf(id, 100) }));
      resultOf(await callApi(addresses, "POST", `/queues/${queue.id}/messages/batch`, { messages }), "send");
      await ledger.write({ kind: "accepted", send });
      await within("the batch is in flight", taken.promise);
      await delay(20); // the handler waits, the server waits: nothing moves
      const killedAt = now();
      await keeper.signalWorker("prove-consumer", "SIGKILL");
      const ms = (await within("the batch is delivered again", again.promise)) - killedAt;
      await ledger.write({ kind: "redelivered", deathsBefore, ms });
    }
  }
  recorder.onReport = async () => await Promise.resolve();
}
