// Sends all the time, through every door, one send after the other each. The next begins when the ledger has the last one's answer.

import { setTimeout as delay } from "node:timers/promises";
import { callApi, callProducer } from "./client.ts";
import type { Answer } from "./client.ts";
import type { ProvedQueue } from "./deployment.ts";
import type { Door } from "./facts.ts";
import type { Ledger } from "./ledger.ts";
import { bodyOf, poisonous } from "./message-body.ts";
import { SeededRandom } from "./random.ts";
import type { ServerKeeper } from "./server-keeper.ts";
import type { Addresses } from "./server-process.ts";

const doors: readonly Door[] = ["rest", "rest", "rest-bulk", "binding", "binding", "binding-batch"];

export interface ProducersOptions {
  readonly keeper: ServerKeeper;
  readonly ledger: Ledger;
  readonly queues: readonly ProvedQueue[];
  readonly seed: number;
  /** Sends are over when it is aborted. */
  readonly signal: AbortSignal;
}

/** What producers tell each other. */
interface Shared {
  sends: number;
  /** By queue, as the newest answer told. */
  readonly backlogs: Map<string, number>;
}

/** A backlog above which nobody adds to it for a moment, so that consumers on a slow machine keep up. */
const mostBacklog = 300;

interface Item {
  readonly body: unknown;
  readonly contentType: string;
}

/** Runs until the signal; resolves when the last send has come to its end. */
export async function produce(options: ProducersOptions): Promise<void> {
  const shared: Shared = { sends: 0, backlogs: new Map() };
  await Promise.all(doors.map(async (door, index) => await produceThrough(door, `p${index + 1}`, options, shared)));
}

async function produceThrough(
  door: Door,
  name: string,
  { keeper, ledger, queues, seed, signal }: ProducersOptions,
  shared: Shared,
): Promise<void> {
  const random = new SeededRandom(seed, name);
  const targets = queues.filter(({ binding }) => binding !== undefined);
  let message = 0;
  while (!signal.aborted) {
    const addresses = await keeper.addresses();
    const queue = random.pick(targets);
    if ((shared.backlogs.get(queue.name) ?? 0) > mostBacklog) {
      await delay(50);
      shared.backlogs.delete(queue.name); // the next one looks again
      continue;
    }
    const count = door === "rest" || door === "binding" ? 1 : random.between(1, 15);
    const delaySeconds = random.chance(0.1) ? 1 : 0;
    const ids = Array.from({ length: count }, () => {
      message += 1;
      const id = `${name}-${message}`;
      return random.chance(0.01) ? poisonous(id) : id;
    });
    const items = ids.map((id) => itemOf(id, door, queue, random));
    shared.sends += 1;
    const send = shared.sends;
    ledger.note({ kind: "offered", send, door, queue: queue.name, ids, delaySeconds });
    const answer = await sendThrough(door, addresses, queue, items, delaySeconds);
    if (answer.kind === "unanswered") {
      await ledger.write({ kind: "unanswered", send });
      await delay(20); // the server is gone: the next address comes with the next one
    } else if (answer.isGood) {
      await ledger.write({ kind: "accepted", send });
      const backlog = backlogOf(answer.result);
      if (backlog !== undefined) shared.backlogs.set(queue.name, backlog);
    } else {
      await ledger.write({ kind: "refused", send, status: answer.status });
    }
    await delay(random.between(20, 140), undefined, { signal }).catch(() => undefined);
  }
}

function itemOf(id: string, door: Door, queue: ProvedQueue, random: SeededRandom): Item {
  const isThroughBinding = door === "binding" || door === "binding-batch";
  const types = [
    "json",
    "text",
    ...(isThroughBinding ? ["bytes"] : []),
    ...(isThroughBinding && queue.consumer === "push" ? ["v8"] : []),
  ];
  const contentType = random.pick(types);
  const isLarge = count(door) === "one" && random.chance(0.02);
  const body = bodyOf(id, isLarge ? random.between(20_000, 100_000) : random.between(0, 1_000));
  return { body, contentType };
}

const count = (door: Door): "one" | "many" => (door === "rest" || door === "binding" ? "one" : "many");

async function sendThrough(
  door: Door,
  addresses: Addresses,
  queue: ProvedQueue,
  items: readonly Item[],
  delaySeconds: number,
): Promise<Answer> {
  switch (door) {
    case "rest": {
      const [message] = items.map((item) => restMessage(item, delaySeconds));
      return await callApi(addresses, "POST", `/queues/${queue.id}/messages`, message);
    }
    case "rest-bulk": {
      const messages = items.map((item) => restMessage(item, delaySeconds));
      return await callApi(addresses, "POST", `/queues/${queue.id}/messages/batch`, { messages });
    }
    case "binding":
    case "binding-batch": {
      const path = door === "binding" ? "/send" : "/send-batch";
      const sent = items.map((item) => ({ ...item, delaySeconds }));
      return await callProducer(addresses, path, { binding: queue.binding, items: sent });
    }
    default:
      return door satisfies never;
  }
}

/** Told by the REST API alone. */
function backlogOf(result: unknown): number | undefined {
  const told = result as { readonly metadata?: { readonly metrics?: { readonly backlog_count: number } } } | undefined;
  return told?.metadata?.metrics?.backlog_count;
}

function restMessage({ body, contentType }: Item, delaySeconds: number): Readonly<Record<string, unknown>> {
  return {
    body: contentType === "text" ? JSON.stringify(body) : body,
    content_type: contentType,
    ...(delaySeconds > 0 && { delay_seconds: delaySeconds }),
  };
}
