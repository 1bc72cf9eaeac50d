// Stores a backlog in a data folder through the engine itself, before a server is started on it.

import { ControlPlane, createQueue, Intake } from "../../packages/millrace/src/broker/index.ts";
import { defaultQueueSettings, parseQueueName } from "../../packages/millrace/src/contract/index.ts";
import { openSqliteEngine } from "../../packages/millrace/src/engines/sqlite/index.ts";
import { systemClock as clock, systemRandom as random } from "../../packages/millrace/src/system.ts";
import type { BenchQueue } from "./server.ts";

const quiet = { debug() {}, info() {}, warn: console.error, error: console.error };
const perSend = 100;
/** Sends under way at once. */
const atOnce = 100;

/** Makes `queues` queues named `stored-0` and so on, and spreads `messages` messages of `bytes` over them. */
export async function fill(
  folder: string,
  { queues, messages, bytes }: { readonly queues: number; readonly messages: number; readonly bytes: number },
): Promise<readonly BenchQueue[]> {
  await using engine = await openSqliteEngine({ folder, clock, logger: quiet });
  using controlPlane = await ControlPlane.open(engine.catalog, clock, random);
  const intake = new Intake({ engine, clock, random, catalog: () => controlPlane.view });
  const made = [];
  for (let index = 0; index < queues; index += 1) {
    const command = { name: parseQueueName(`stored-${index}`), settings: defaultQueueSettings, jurisdiction: null };
    made.push(await controlPlane.change("benchmark", (view, context) => createQueue(view, context, command)));
  }
  const item = { contentType: "text", body: new Uint8Array(bytes).fill(120), delaySeconds: undefined };
  const batch = Array.from({ length: perSend }, () => item);
  let left = messages;
  let turn = 0;
  while (left > 0) {
    const sends = [];
    for (let count = 0; count < atOnce && left > 0; count += 1) {
      const queue = made[turn++ % made.length];
      if (queue === undefined) throw new Error("a backlog needs a queue");
      sends.push(intake.send(queue.id, batch.slice(0, left)));
      left -= Math.min(left, perSend);
    }
    await Promise.all(sends);
  }
  return made.map(({ id, name }) => ({ id, name }));
}
