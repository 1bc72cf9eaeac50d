// One run from an empty data folder to a ledger that tells everything: work all the time, faults one after the other, then calm.

import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { callApi, resultOf } from "./client.ts";
import { measureRedelivery } from "./crash-to-redelivery.ts";
import { deploy, deployConsumer } from "./deployment.ts";
import type { ProvedQueue } from "./deployment.ts";
import type { DeliveredMessage } from "./facts.ts";
import { inflict, isKill, planFaults } from "./faults.ts";
import { Ledger } from "./ledger.ts";
import { readBody } from "./message-body.ts";
import { produce } from "./producers.ts";
import { millrace, run } from "./programs.ts";
import { consume } from "./pull-consumers.ts";
import { Recorder } from "./recorder.ts";
import { ServerKeeper } from "./server-keeper.ts";
import type { Addresses } from "./server-process.ts";

export interface CrashLoopOptions {
  readonly seed: number;
  readonly kills: number;
  /** An empty folder; data, server log and ledger go there. */
  readonly folder: string;
  /** How often the death of an otherwise idle Worker is timed, after the loop. */
  readonly redeliveryRounds: number;
  readonly progress: (line: string) => void;
}

/** Where the ledger of a run is. */
export const ledgerOf = (folder: string): string => join(folder, "ledger.jsonl");

/** A backlog that has not become smaller for so long will not. */
const stalledMs = 60_000;

/** Throws when the server does not come back. */
export async function crashLoop({ seed, kills, folder, redeliveryRounds, progress }: CrashLoopOptions): Promise<void> {
  await using ledger = await Ledger.open(ledgerOf(folder));
  ledger.note({ kind: "run", seed, kills });
  const log = createWriteStream(join(folder, "server.log"));
  const data = join(folder, "data");
  await using keeper = new ServerKeeper(ledger, { data, log });
  await using recorder = await Recorder.start(ledger, () => keeper.life, seed);
  const addresses = await keeper.start();
  progress("the server runs; wrangler deploys the Workers");
  const queues = await deploy(addresses, ledger, recorder.url);
  const pulled = queues.find(({ consumer }) => consumer === "pull");
  if (pulled === undefined) throw new Error("no queue is pulled");

  const sendsOver = new AbortController();
  const calm = new AbortController();
  const pullsOver = new AbortController();
  const producing = produce({ keeper, ledger, queues, seed, signal: sendsOver.signal });
  const consuming = consume({ keeper, ledger, queue: pulled, seed, calm: calm.signal, signal: pullsOver.signal });
  const working = Promise.all([producing, consuming]);
  const plan = planFaults(seed, kills);
  let killed = 0;
  const onFault = (done: number, what: (typeof plan)[number]): void => {
    if (isKill(what)) killed += 1;
    progress(`${killed} of ${kills} kills, ${done} of ${plan.length} faults; the last was ${what}`);
  };
  const redeploy = async (): Promise<void> => await deployConsumer(await keeper.addresses(), recorder.url);
  const faults = { keeper, ledger, seed, plan, queues, deployConsumer: redeploy, onFault };
  await Promise.race([inflict(faults), working]);

  progress("faults are over; the backlog drains");
  sendsOver.abort();
  await producing;
  ledger.note({ kind: "calm" });
  calm.abort();
  recorder.calm();
  await drained(await keeper.addresses(), queues, ledger);
  pullsOver.abort();
  await working;

  if (redeliveryRounds > 0) {
    progress(`${redeliveryRounds} deaths of an idle Worker are timed`);
    await measureRedelivery({ keeper, ledger, recorder, queues, rounds: redeliveryRounds });
    await drained(await keeper.addresses(), queues, ledger);
  }
  await look(keeper, ledger, queues, data);
  await restartQuietly(keeper, ledger, queues);
  log.end();
  await once(log, "close");
}

/** Waits until nothing is left anywhere but in queues without a consumer. */
async function drained(addresses: Addresses, queues: readonly ProvedQueue[], ledger: Ledger): Promise<void> {
  let least = Number.POSITIVE_INFINITY;
  let deadline = performance.now() + stalledMs;
  for (;;) {
    let backlog = 0;
    for (const { id, name, consumer } of queues) {
      if (consumer === "none") continue;
      const answer = await callApi(addresses, "GET", `/queues/${id}/metrics`);
      backlog += (resultOf(answer, `metrics of ${name}`) as { readonly backlog_count: number }).backlog_count;
    }
    if (backlog < least) {
      least = backlog;
      deadline = performance.now() + stalledMs;
    }
    if (backlog === 0 || performance.now() > deadline) {
      await ledger.write({ kind: "drained", backlog });
      return;
    }
    await delay(100);
  }
}

/** Writes down what is left in every queue, and what the doctor says. */
async function look(keeper: ServerKeeper, ledger: Ledger, queues: readonly ProvedQueue[], data: string): Promise<void> {
  const addresses = await keeper.addresses();
  for (const queue of queues) {
    ledger.note({ kind: "left", queue: queue.name, messages: await peekAll(addresses, queue) });
  }
  const doctor = await run([millrace, "doctor", "--data", data], data);
  await ledger.write({ kind: "checked", what: "millrace doctor finds nothing wrong", ...doctor });
}

/** Once more from the disk alone: nothing that was settled may come back. */
async function restartQuietly(keeper: ServerKeeper, ledger: Ledger, queues: readonly ProvedQueue[]): Promise<void> {
  for (const what of ["a clean stop ends with code 0", "a clean stop after a quiet start ends with code 0"]) {
    const how = await keeper.end("SIGTERM");
    await ledger.write({ kind: "checked", what, isGood: how === "code 0", text: how });
    if (what.includes("quiet")) break;
    await drained(await keeper.start(), queues, ledger);
  }
  await ledger.write({ kind: "orphans", pids: keeper.orphans() });
}

interface PeekedMessage {
  readonly id: string;
  readonly ref: string;
  readonly attempts: number;
  readonly body: string;
  readonly metadata: Readonly<Record<string, string>>;
}

async function peekAll(addresses: Addresses, { id, name }: ProvedQueue): Promise<DeliveredMessage[]> {
  const found: DeliveredMessage[] = [];
  let after: string | undefined;
  for (;;) {
    const body = { batch_size: 100, ...(after !== undefined && { after }) };
    const answer = await callApi(addresses, "POST", `/queues/${id}/messages/peek`, body);
    const { messages } = resultOf(answer, `peek at ${name}`) as { readonly messages: readonly PeekedMessage[] };
    for (const message of messages) found.push(shown(message));
    after = messages.at(-1)?.ref;
    if (after === undefined) return found;
  }
}

function shown({ id: messageId, attempts, body, metadata }: PeekedMessage): DeliveredMessage {
  const contentType = metadata["CF-Content-Type"];
  // Only the runtime can read what it serialised; the id is in there as text all the same.
  if (contentType === "v8") {
    const text = Buffer.from(body, "base64").toString("latin1");
    return { id: /p\d+-\d+(?:-poison)?/.exec(text)?.[0] ?? "", isIntact: true, messageId, attempts };
  }
  const text = contentType === "text" ? body : Buffer.from(body, "base64").toString();
  return { ...readBody(text), messageId, attempts };
}
