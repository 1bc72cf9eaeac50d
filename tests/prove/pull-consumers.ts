// Consumers over HTTP: pull, then settle in time, too late, or never; by itself, or with the next pull.

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

/** What became of messages, told or on its way. */
interface Settling {
  readonly settlement: number;
  readonly acks: readonly string[];
  readonly retries: readonly string[];
}

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
  const path = `/queues/${queue.id}/messages`;
  /** Travels with the next pull. */
  let passengers: Settling | undefined;
  while (!signal.aborted) {
    const addresses = await keeper.addresses();
    const visibilityMs = random.between(800, 2_000);
    const waitHeader: Record<string, string> = random.chance(0.5) ? { "millrace-wait-seconds": "1" } : {};
    numbers.pull += 1;
    const { pull } = numbers;
    const told = passengers;
    passengers = undefined;
    if (told !== undefined) noteSettling(told);
    ledger.note({ kind: "pulling", pull, queue: queue.name, visibilityMs });
    const body = {
      batch_size: random.between(1, 20),
      visibility_timeout_ms: visibilityMs,
      ...(random.chance(0.5) && { millrace_batches: random.between(1, 5) }),
      ...(told !== undefined && { millrace_settle: bodyOf(told) }),
    };
    const answer = await callApi(addresses, "POST", `${path}/pull`, body, waitHeader);
    if (told !== undefined) {
      const result =
        answer.kind === "answered" ? (answer.result as { millrace_settled?: unknown } | undefined) : undefined;
      await writeSettled(told, result?.millrace_settled);
    }
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
    const settling = settlingOf(messages, random, calm.aborted);
    if (random.chance(0.5)) passengers = settling;
    else await settle(settling);
  }
  if (passengers !== undefined) await settle(passengers);

  function settlingOf(messages: readonly Leased[], decisions: SeededRandom, isCalm: boolean): Settling {
    const retries: string[] = [];
    const acks: string[] = [];
    for (const { id, lease } of messages) {
      const isRetried = isPoison(id) || (!isCalm && decisions.chance(0.03));
      (isRetried ? retries : acks).push(lease);
    }
    numbers.settlement += 1;
    return { settlement: numbers.settlement, acks, retries };
  }

  async function settle(settling: Settling): Promise<void> {
    noteSettling(settling);
    // After a restart the server is elsewhere: leases outlive it.
    const answer = await callApi(await keeper.addresses(), "POST", `${path}/ack`, bodyOf(settling));
    await writeSettled(settling, answer.kind === "answered" && answer.isGood ? answer.result : undefined);
  }

  function noteSettling(settling: Settling): void {
    ledger.note({ kind: "settling", queue: queue.name, ...settling });
  }

  /** `result`: as the server answered; `undefined`: it did not, or refused. */
  async function writeSettled({ settlement }: Settling, result: unknown): Promise<void> {
    const settled = result as { readonly warnings: Readonly<Record<string, string>> } | undefined;
    if (settled === undefined) await ledger.write({ kind: "settle-unanswered", settlement });
    else await ledger.write({ kind: "settled", settlement, warnings: settled.warnings });
  }
}

function bodyOf({ acks, retries }: Settling): Readonly<Record<string, readonly { readonly lease_id: string }[]>> {
  const named = (leases: readonly string[]): { lease_id: string }[] => leases.map((lease) => ({ lease_id: lease }));
  return { acks: named(acks), retries: named(retries) };
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
