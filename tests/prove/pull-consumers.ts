// Consumers over HTTP: pull, then settle in time, too late, or never.

import { setTimeout as delay } from "node:timers/promises";
import { callApi } from "./client.ts";
import type { DeliveredMessage, PullPlan } from "./facts.ts";
import type { Ledger } from "./ledger.ts";
import { isPoison, readBody } from "./message-body.ts";
import type { ProvedQueue } from "./deployment.ts";
import { SeededRandom } from "./random.ts";
import type { ServerKeeper } from "./server-keeper.ts";

const consumers = 2;

export interface PullConsumersOptions {
  readonly keeper: ServerKeeper;
  readonly ledger: Ledger;
  readonly queue: ProvedQueue;
  readonly seed: number;
  /** Aborted: from now on everything is settled in time. */
  readonly calm: AbortSignal;
  /** Aborted: no more pulls. */
  readonly signal: AbortSignal;
}

interface PulledMessage {
  readonly id: string;
  readonly lease_id: string;
  readonly attempts: number;
  readonly body: string;
  readonly metadata: Readonly<Record<string, string>>;
}

type Leased = DeliveredMessage & { readonly lease: string };

/** Runs until the signal; resolves when the last settlement has come to its end. */
export async function consume(options: PullConsumersOptions): Promise<void> {
  const numbers = { pull: 0, settlement: 0 };
  await Promise.all(
    Array.from({ length: consumers }, async (_, index) => await consumeAs(`c${index + 1}`, options, numbers)),
  );
}

async function consumeAs(
  name: string,
  { keeper, ledger, queue, seed, calm, signal }: PullConsumersOptions,
  numbers: { pull: number; settlement: number },
): Promise<void> {
  const random = new SeededRandom(seed, name);
  while (!signal.aborted) {
    const addresses = await keeper.addresses();
    const visibilityMs = random.between(800, 2_000);
    const waitHeader: Record<string, string> = random.chance(0.5) ? { "millrace-wait-seconds": "1" } : {};
    numbers.pull += 1;
    const { pull } = numbers;
    ledger.note({ kind: "pulling", pull, queue: queue.name, visibilityMs });
    const path = `/queues/${queue.id}/messages`;
    const body = { batch_size: random.between(1, 20), visibility_timeout_ms: visibilityMs };
    const answer = await callApi(addresses, "POST", `${path}/pull`, body, waitHeader);
    if (answer.kind === "unanswered" || !answer.isGood) {
      await ledger.write({ kind: "pull-unanswered", pull });
      await delay(20);
      continue;
    }
    const messages = (answer.result as { readonly messages: readonly PulledMessage[] }).messages.map(shown);
    const plan = planOf(random, calm.aborted);
    await ledger.write({ kind: "pulled", pull, plan, messages });
    if (messages.length === 0 || plan === "abandon") {
      await delay(50);
      continue;
    }
    await delay(plan === "late" ? visibilityMs + random.between(0, 500) : random.between(0, 50));
    await settle(messages, random, calm.aborted);
  }

  async function settle(messages: readonly Leased[], decisions: SeededRandom, isCalm: boolean): Promise<void> {
    const retries: Leased[] = [];
    const acks: Leased[] = [];
    for (const message of messages) {
      const isRetried = isPoison(message.id) || (!isCalm && decisions.chance(0.03));
      (isRetried ? retries : acks).push(message);
    }
    numbers.settlement += 1;
    const { settlement } = numbers;
    const names = (leased: readonly Leased[]): string[] => leased.map(({ lease }) => lease);
    const fact = { settlement, queue: queue.name, acks: names(acks), retries: names(retries) };
    ledger.note({ kind: "settling", ...fact });
    // After a restart the server is elsewhere: leases outlive it.
    const answer = await callApi(await keeper.addresses(), "POST", `/queues/${queue.id}/messages/ack`, {
      acks: acks.map(({ lease }) => ({ lease_id: lease })),
      retries: retries.map(({ lease }) => ({ lease_id: lease })),
    });
    if (answer.kind === "answered" && answer.isGood) {
      const { warnings } = answer.result as { readonly warnings: Readonly<Record<string, string>> };
      await ledger.write({ kind: "settled", settlement, warnings });
    } else {
      await ledger.write({ kind: "settle-unanswered", settlement });
    }
  }
}

function planOf(random: SeededRandom, isCalm: boolean): PullPlan {
  const chance = random.next();
  if (isCalm || chance >= 0.1) return "settle";
  return chance < 0.05 ? "late" : "abandon";
}

function shown({ id: messageId, lease_id: lease, attempts, body, metadata }: PulledMessage): Leased {
  const text = metadata["CF-Content-Type"] === "text" ? body : Buffer.from(body, "base64").toString();
  return { ...readBody(text), messageId, attempts, lease };
}
