// Puts the facts of a ledger together: what happened to each message, and when what was done to the server.

import type { DeliveredMessage, Door, HandlerVerdict, PullPlan, RecordedFact } from "../facts.ts";
import { Timeline } from "./timeline.ts";

export interface Send {
  readonly door: Door;
  readonly queue: string;
  readonly ids: readonly string[];
  readonly offeredAt: number;
  /** Not delivered before. */
  readonly notBefore: number;
  answer: "accepted" | "refused" | "unanswered";
}

/** Log and reports are read by one process, in the same turn of its event loop or the next. */
const readingMs = 100;

/** A batch as the server's log tells of it. */
interface LoggedBatch {
  readonly openedAt: number;
  /** How it ended, `undefined`: its server ended first. */
  outcome: string | undefined;
}

export interface PushDelivery {
  readonly at: number;
  readonly life: number;
  readonly queue: string;
  readonly message: DeliveredMessage;
  /** What the handler was told to do; `undefined`: it never learned. */
  readonly verdict: HandlerVerdict | undefined;
  /** `undefined`: not ended in the log of its server. */
  readonly outcome: string | undefined;
}

export interface Settlement {
  readonly decision: "ack" | "retry";
  /** `late`: the ack of an ended lease was honoured. `stale`: the lease meant nothing any more. */
  reply: "done" | "late" | "stale" | "unanswered";
  answeredAt: number;
}

export interface PullDelivery {
  readonly askedAt: number;
  readonly at: number;
  readonly queue: string;
  readonly visibilityMs: number;
  readonly plan: PullPlan;
  readonly message: DeliveredMessage;
  settlement: Settlement | undefined;
}

export interface MessageHistory {
  readonly id: string;
  readonly send: Send | undefined;
  readonly pushes: PushDelivery[];
  readonly pulls: PullDelivery[];
  /** Queues it was found in at the end. */
  readonly leftIn: { readonly queue: string; readonly message: DeliveredMessage }[];
}

export interface QueueFacts {
  readonly consumer: "push" | "pull" | "none";
  readonly deliveries: number;
}

export interface History {
  readonly facts: readonly RecordedFact[];
  readonly queues: ReadonlyMap<string, QueueFacts>;
  readonly sends: readonly Send[];
  readonly messages: ReadonlyMap<string, MessageHistory>;
  /** Pulls that were not answered: from when to when one was under way. */
  readonly unansweredPulls: readonly { readonly from: number; readonly to: number }[];
  /** At which attempt a message was dead-lettered, as the server's log tells; by the message's own id. */
  readonly deadLettered: ReadonlyMap<string, number>;
  readonly timeline: Timeline;
}

export function readHistory(facts: readonly RecordedFact[]): History {
  const reader = new HistoryReader();
  for (const fact of facts) reader.read(fact);
  return reader.finish(facts);
}

type Pushed = Extract<RecordedFact, { readonly kind: "pushed" }>;

class HistoryReader {
  readonly #queues = new Map<string, QueueFacts>();
  readonly #sends = new Map<number, Send>();
  readonly #messages = new Map<string, MessageHistory>();
  readonly #pushed: Pushed[] = [];
  readonly #verdicts = new Map<number, readonly HandlerVerdict[]>();
  /** How many batches handlers told of, and the log's batches, by what both know of a batch. */
  readonly #told = new Map<string, number>();
  readonly #batches = new Map<string, LoggedBatch[]>();
  readonly #deadLettered = new Map<string, number>();
  readonly #openBatches = new Map<string, LoggedBatch>();
  readonly #asked = new Map<number, Extract<RecordedFact, { readonly kind: "pulling" }>>();
  readonly #unansweredPulls: { readonly from: number; readonly to: number }[] = [];
  readonly #leases = new Map<string, PullDelivery>();
  readonly #settling = new Map<number, Map<string, Settlement>>();

  read(fact: RecordedFact): void {
    switch (fact.kind) {
      case "queue":
        this.#queues.set(fact.queue, fact);
        return;
      case "offered":
        this.#offer(fact);
        return;
      case "accepted":
      case "refused": {
        const send = this.#sends.get(fact.send);
        if (send !== undefined) send.answer = fact.kind;
        return;
      }
      case "pushed":
        this.#pushed.push(fact);
        return;
      case "instructed":
        this.#verdicts.set(fact.delivery, fact.verdicts);
        return;
      case "batch-opened": {
        const batch: LoggedBatch = { openedAt: fact.at, outcome: undefined };
        const key = `${fact.life} ${fact.queue} ${fact.firstMessageId} ${fact.attemptsMin} ${fact.attemptsMax}`;
        this.#batches.set(key, [...(this.#batches.get(key) ?? []), batch]);
        this.#openBatches.set(`${fact.life} ${fact.batch}`, batch);
        return;
      }
      case "batch-closed": {
        const batch = this.#openBatches.get(`${fact.life} ${fact.batch}`);
        if (batch !== undefined) batch.outcome = fact.outcome;
        return;
      }
      case "dead-lettered":
        this.#deadLettered.set(fact.messageId, fact.attempts);
        return;
      case "pulling":
        this.#asked.set(fact.pull, fact);
        return;
      case "pulled":
        this.#pull(fact);
        return;
      case "pull-unanswered": {
        const asked = this.#asked.get(fact.pull);
        if (asked !== undefined) this.#unansweredPulls.push({ from: asked.at, to: fact.at });
        return;
      }
      case "settling":
        this.#settle(fact);
        return;
      case "settled":
        for (const [lease, settlement] of this.#settling.get(fact.settlement) ?? []) {
          settlement.answeredAt = fact.at;
          settlement.reply = replyOf(fact.warnings[lease]);
        }
        return;
      case "left":
        for (const message of fact.messages) this.#message(message.id).leftIn.push({ queue: fact.queue, message });
        return;
      default: // of the server and of the run: the timeline's
    }
  }

  finish(facts: readonly RecordedFact[]): History {
    const pushed = this.#pushed.map((fact) => ({ ...fact, life: this.#lifeOf(fact) }));
    for (const fact of pushed) this.#told.set(keyOf(fact), (this.#told.get(keyOf(fact)) ?? 0) + 1);
    for (const fact of pushed) this.#push(fact);
    return {
      facts,
      queues: this.#queues,
      sends: [...this.#sends.values()],
      messages: this.#messages,
      unansweredPulls: this.#unansweredPulls,
      deadLettered: this.#deadLettered,
      timeline: new Timeline(facts),
    };
  }

  #message(id: string, send?: Send): MessageHistory {
    let message = this.#messages.get(id);
    if (message === undefined) {
      message = { id, send, pushes: [], pulls: [], leftIn: [] };
      this.#messages.set(id, message);
    }
    return message;
  }

  #offer({
    at,
    send: number,
    door,
    queue,
    ids,
    delaySeconds,
  }: Extract<RecordedFact, { readonly kind: "offered" }>): void {
    const notBefore = at + delaySeconds * 1_000;
    const send: Send = { door, queue, ids, offeredAt: at, notBefore, answer: "unanswered" };
    this.#sends.set(number, send);
    for (const id of ids) this.#message(id, send);
  }

  #push(pushed: Pushed): void {
    const { at, life, queue, delivery, messages } = pushed;
    const batch = this.#loggedBatch(pushed);
    const verdicts = this.#verdicts.get(delivery);
    for (const [index, message] of messages.entries()) {
      const push = { at, life, queue, message, verdict: verdicts?.[index], outcome: batch?.outcome };
      this.#message(message.id).pushes.push(push);
    }
  }

  /**
   * The server that a handler told of. The last words of a handler may be read when its server is dead and the next one was
   * spawned; that one cannot have handed out a batch then.
   */
  #lifeOf({ at, life, ...push }: Pushed): number {
    const batches = this.#batches.get(keyOf({ at, life, ...push })) ?? [];
    if (batches.some(({ openedAt }) => openedAt <= at + readingMs)) return life;
    return this.#batches.has(keyOf({ at, ...push, life: life - 1 })) ? life - 1 : life;
  }

  /**
   * The log's batch that a handler told of. Where the log has more batches of these messages than handlers told of, those that
   * reached no handler were not told of.
   */
  #loggedBatch(push: Pushed): LoggedBatch | undefined {
    const key = keyOf(push);
    const told = this.#told.get(key) ?? 0;
    this.#told.set(key, told - 1);
    const batches = this.#batches.get(key) ?? [];
    const isTold = (batch: LoggedBatch): boolean => batches.length <= told || batch.outcome !== "notDelivered";
    const found = batches.find(isTold) ?? batches[0];
    if (found !== undefined) batches.splice(batches.indexOf(found), 1);
    return found;
  }

  #pull({ at, pull, plan, messages }: Extract<RecordedFact, { readonly kind: "pulled" }>): void {
    const asked = this.#asked.get(pull);
    if (asked === undefined) throw new Error(`pull ${pull} was answered and never asked`);
    const { at: askedAt, queue, visibilityMs } = asked;
    for (const { lease, ...message } of messages) {
      const delivery: PullDelivery = { askedAt, at, queue, visibilityMs, plan, message, settlement: undefined };
      this.#message(message.id).pulls.push(delivery);
      this.#leases.set(lease, delivery);
    }
  }

  #settle({ settlement: number, acks, retries }: Extract<RecordedFact, { readonly kind: "settling" }>): void {
    const settlements = new Map<string, Settlement>();
    const name = (leases: readonly string[], decision: Settlement["decision"]): void => {
      for (const lease of leases) {
        const settlement: Settlement = { decision, reply: "unanswered", answeredAt: Number.POSITIVE_INFINITY };
        settlements.set(lease, settlement);
        const delivery = this.#leases.get(lease);
        if (delivery !== undefined) delivery.settlement = settlement;
      }
    };
    name(acks, "ack");
    name(retries, "retry");
    this.#settling.set(number, settlements);
  }
}

function keyOf({ life, queue, messages }: Pushed): string {
  const attempts = messages.map((message) => message.attempts);
  return `${life} ${queue} ${messages[0]?.messageId ?? ""} ${Math.min(...attempts)} ${Math.max(...attempts)}`;
}

/** What the server says of one lease; its words are documented in broker/pull.ts. */
function replyOf(warning: string | undefined): Settlement["reply"] {
  if (warning === undefined) return "done";
  return warning.startsWith("the lease had ended") ? "late" : "stale";
}
