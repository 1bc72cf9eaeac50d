// The books of a history: a second, plain account of every message, made from what the store did and what consumers said.
// Each step is held against the laws; what the store then holds is compared with the books (`audit.ts`).

import { epochMs, pullHolder } from "../../src/core/index.ts";
import type {
  CatalogOperation,
  Decision,
  EpochMs,
  ExpiredLease,
  Holder,
  LeasedBatch,
  LeaseId,
  LeaseRequest,
  MessageId,
  NewMessage,
  QueueId,
  SettleReceipt,
  SettleRequest,
} from "../../src/core/index.ts";
import {
  checkAttempts,
  checkConsumer,
  checkDelay,
  checkHandOver,
  checkVisibility,
  checkWindow,
} from "./delivery-rules.ts";
import type { HandedMessage } from "./delivery-rules.ts";
import { judge, mayBeOfAnother } from "./judge.ts";
import type { Bench } from "./judge.ts";
import { Requests } from "./requests.ts";
import { SettingsLog } from "./settings-log.ts";
import type { SimulatedProcess } from "./simulated-process.ts";
import { lifeOf, textOf } from "./tracked.ts";
import type { Outcome, TrackedLease, TrackedMessage, TrackedQueue } from "./tracked.ts";
import { Violation } from "./violation.ts";
import type { Law } from "./violation.ts";
import type { World } from "./world.ts";

export class Ledger {
  readonly world: World;
  readonly settings: SettingsLog;
  readonly requests = new Requests();
  readonly queues = new Map<QueueId, TrackedQueue>();
  readonly leases = new Map<LeaseId, TrackedLease>();
  readonly messages = new Map<MessageId, TrackedMessage>();
  revision = 0;
  readonly #batches = new Map<string, TrackedLease[]>();
  readonly #byText = new Map<string, TrackedMessage[]>();
  readonly #bench: Bench;

  constructor(world: World) {
    this.world = world;
    this.settings = new SettingsLog(world);
    this.#bench = {
      world,
      settings: this.settings,
      isRedrive: (lease, target) => this.requests.askedToRedrive(lease.queue, target),
    };
  }

  /** Holds a claim against the books; the first that does not hold breaks the history off. */
  claim(holds: boolean, law: Law, text: () => string, message?: TrackedMessage): void {
    if (holds || this.world.failure !== undefined) return;
    this.world.fail(new Violation(law, message === undefined ? text() : `${text()}\n  ${lifeOf(message)}`));
  }

  // What clients and consumers get and say.

  /** A client was told that its messages are stored. */
  accepted(texts: readonly string[]): void {
    for (const text of texts) {
      const times = this.requests.accepted(text);
      this.claim(this.copies(text) >= times, "acceptance", () => `message ${text} was accepted but is not stored`);
    }
  }

  /** How many messages with this text were stored. */
  copies(text: string): number {
    return this.#byText.get(text)?.length ?? 0;
  }

  /** A consumer gets messages: a handler, or a client that pulls. */
  handed(process: SimulatedProcess, messages: readonly HandedMessage[]): void {
    for (const handed of messages) {
      const lease = this.leases.get(handed.lease);
      if (lease === undefined || lease.message.id !== handed.id) {
        this.claim(false, "double-lease", () => `a consumer got message ${handed.id} under a lease that nobody has`);
        return;
      }
      const { message } = lease;
      this.note(message, `handed over by ${process.name}, attempt ${handed.attempts}`);
      checkHandOver(this, lease, handed);
      if (lease.handedAt === undefined && lease.holder !== pullHolder && lease.stay === message.stay) message.got += 1;
      lease.handedAt = this.world.mono;
    }
  }

  /** A client asked for leases of so long. */
  askedFor(messages: readonly HandedMessage[], visibilityMs: number): void {
    for (const { lease } of messages) {
      const known = this.leases.get(lease);
      const same = known === undefined || known.visibilityMs === visibilityMs;
      const text = (): string => `leased for ${known?.visibilityMs} ms, and its client asked for ${visibilityMs}`;
      this.claim(same, "double-lease", text, known?.message);
    }
  }

  /** A client was told that it has its lease for so long from when it asked. */
  extensionAnswered(lease: LeaseId, askedAt: number, visibilityMs: number): void {
    const known = this.leases.get(lease);
    if (known === undefined || known.message.lease !== known) return;
    const shortMs = this.world.wallSince(askedAt).least + visibilityMs - known.endsAt;
    this.claim(shortMs <= 0, "double-lease", () => `its extension is ${shortMs} ms too short`, known.message);
  }

  /** A consumer says what becomes of the message it has under a lease. */
  says(lease: LeaseId, said: WithoutTime): void {
    const known = this.leases.get(lease);
    if (known === undefined) return;
    known.said.push({ ...said, at: this.world.mono });
    known.finished = true;
    this.note(known.message, `its consumer says ${said.kind}${"delayMs" in said ? ` ${said.delayMs ?? "usual"}` : ""}`);
  }

  /** A client was told that its acknowledgements count. */
  ackAccepted(lease: LeaseId): void {
    const message = this.leases.get(lease)?.message;
    if (message === undefined) return;
    this.claim(
      message.end === "acked",
      "acceptance",
      () => "a client was told that it is acked, and it is not",
      message,
    );
  }

  // What the store did.

  committed(expectedRevision: number, operations: readonly CatalogOperation[], revision: number): void {
    this.claim(
      expectedRevision === this.revision && revision > this.revision,
      "catalog",
      () => `a change decided on revision ${expectedRevision} was applied to revision ${this.revision}`,
    );
    this.revision = revision;
    this.settings.apply(operations);
    for (const operation of operations) {
      if (operation.kind === "createQueue") {
        const counts = { accepted: 0, acked: 0, deadLettered: 0, expired: 0, purged: 0, dropped: 0 };
        this.queues.set(operation.queue, {
          id: operation.queue,
          messages: new Set(),
          counts,
          purges: new Map(),
        });
      } else if (operation.kind === "dropQueue") {
        const queue = this.queues.get(operation.queue);
        this.claim(this.requests.askedToDelete(operation.queue), "conservation", () => "a queue was deleted unasked");
        for (const message of queue?.messages ?? []) {
          this.note(message, "its queue is deleted");
          message.queue = undefined;
          message.lease = undefined;
          message.end = "deleted with its queue";
        }
        this.queues.delete(operation.queue);
      }
    }
  }

  stored(queueId: QueueId, messages: readonly NewMessage[], askedAt: number): void {
    const queue = this.queue(queueId);
    const now = this.world.now();
    for (const message of messages) {
      const text = textOf(message.body);
      this.claim(!this.messages.has(message.id), "conservation", () => `message id ${message.id} is stored twice`);
      const tracked: TrackedMessage = {
        id: message.id,
        text,
        sentAt: message.sentAt,
        contentType: message.contentType,
        queue: queueId,
        end: undefined,
        stay: 1,
        storedAt: now,
        storedAtMono: this.world.mono,
        visibleAt: visibleFrom(message.visibleAt, now),
        visibleSince: this.world.mono,
        attempts: 0,
        got: 0,
        lease: undefined,
        trail: [],
      };
      this.messages.set(message.id, tracked);
      queue.messages.add(tracked);
      queue.counts.accepted += 1;
      const copies = this.#byText.get(text);
      if (copies === undefined) this.#byText.set(text, [tracked]);
      else copies.push(tracked);
      this.note(tracked, `stored in ${this.settings.nameOf(queueId)}`);
      checkDelay(this, queueId, tracked, message, askedAt);
    }
  }

  leased(process: SimulatedProcess, queueId: QueueId, request: LeaseRequest, batch: LeasedBatch): void {
    const queue = this.queue(queueId);
    const now = this.world.now();
    const { messages } = batch;
    checkWindow(this, queue, request, messages.length);
    checkConsumer(this, queueId, request, messages.length);
    checkVisibility(this, request);
    const siblings: TrackedLease[] = [];
    for (const { id, lease, attempts } of messages) {
      const message = this.messages.get(id);
      if (message === undefined || message.queue !== queueId) {
        const acked = message?.end === "acked";
        this.claim(
          false,
          acked ? "resurrection" : "conservation",
          () => `leased from ${this.settings.nameOf(queueId)}, where it is not (${message?.end ?? "in another queue"})`,
          message,
        );
        return;
      }
      this.claim(!this.leases.has(lease), "double-lease", () => `the lease id ${lease} is used twice`, message);
      this.claim(
        message.lease === undefined,
        "double-lease",
        () => `leased by ${request.holder}, though ${message.lease?.holder} has it`,
        message,
      );
      this.claim(
        message.visibleAt <= this.world.wallSince(message.visibleSince).most,
        "delay",
        () => `leased ${message.visibleAt - now} ms before it is visible`,
        message,
      );
      checkAttempts(this, queueId, message, attempts, request.holder);
      message.attempts = attempts;
      const tracked: TrackedLease = {
        lease,
        batch: batch.batch ?? ("none" as NonNullable<typeof batch.batch>),
        queue: queueId,
        message,
        stay: message.stay,
        attempts,
        holder: request.holder,
        process,
        leasedAt: this.world.mono,
        visibilityMs: request.visibility,
        endsAt: epochMs(now + request.visibility),
        hadEnded: false,
        handedAt: undefined,
        said: [],
        failedSettlements: 0,
        finished: false,
      };
      if (request.holder === pullHolder) message.got += 1;
      message.lease = tracked;
      this.leases.set(lease, tracked);
      siblings.push(tracked);
      this.note(message, `leased by ${request.holder} as attempt ${attempts} for ${request.visibility} ms`);
    }
    if (batch.batch !== undefined) this.#batches.set(batch.batch, siblings);
    this.claim(
      (batch.batch === undefined) === (messages.length === 0) && messages.length <= request.max,
      "window",
      () => `${messages.length} messages leased where ${request.max} were asked for`,
    );
  }

  settled(queueId: QueueId, request: SettleRequest, receipt: SettleReceipt): void {
    const late: LeaseId[] = [];
    const stale: LeaseId[] = [];
    let done = 0;
    for (const { lease, decision } of request.each) {
      const known = this.leases.get(lease);
      const stored = known !== undefined && known.queue === queueId && isStillThere(known);
      const current = known?.message.lease === known;
      if (known === undefined || !stored || (!current && decision.kind !== "ack")) {
        stale.push(lease);
        continue;
      }
      if (!current) late.push(lease);
      this.#settle(known, decision);
      done += 1;
    }
    for (const { batch, decision } of request.whole) {
      for (const known of this.#batches.get(batch) ?? []) {
        if (known.queue !== queueId || known.message.lease !== known) continue;
        this.#settle(known, decision);
        done += 1;
      }
    }
    const same = receipt.done === done && receipt.late.join() === late.join() && receipt.stale.join() === stale.join();
    this.claim(
      same,
      "conservation",
      () =>
        `a settlement of ${this.settings.nameOf(queueId)} should have reached ${done} messages, ${late.length} late, ${stale.length} stale, ` +
        `but ${receipt.done}, ${receipt.late.length}, ${receipt.stale.length} are reported`,
    );
  }

  settlementFailed(request: SettleRequest): void {
    const leases = request.each.flatMap(({ lease }) => this.leases.get(lease) ?? []);
    const batches = request.whole.flatMap(({ batch }) => this.#batches.get(batch) ?? []);
    for (const lease of new Set([...leases, ...batches])) lease.failedSettlements += 1;
  }

  extended(queueId: QueueId, leases: readonly LeaseId[], endsAt: EpochMs, stale: readonly LeaseId[]): void {
    const expected: LeaseId[] = [];
    for (const lease of leases) {
      const known = this.leases.get(lease);
      if (known === undefined || known.queue !== queueId || known.message.lease !== known) {
        expected.push(lease);
        continue;
      }
      if (known.endsAt <= this.world.now()) known.hadEnded = true;
      known.endsAt = endsAt;
      this.note(known.message, `its lease is extended to ${endsAt - this.world.now()} ms from now`);
    }
    this.claim(
      stale.join() === expected.join(),
      "double-lease",
      () => "an extension reached other leases than it should",
    );
  }

  /** Leases that the store says have ended. */
  ended(queueId: QueueId, leases: readonly ExpiredLease[]): void {
    const now = this.world.now();
    for (const { lease, attempts } of leases) {
      const known = this.leases.get(lease);
      const over =
        known !== undefined && known.queue === queueId && known.message.lease === known && known.endsAt <= now;
      this.claim(over, "double-lease", () => `${lease} is reported as ended`, known?.message);
      this.claim(known?.attempts === attempts, "attempts", () => `${lease} is reported with ${attempts} attempts`);
    }
  }

  released(holder: Holder, count: number, holderIsGone: boolean): void {
    let expected = 0;
    for (const queue of this.queues.values()) {
      for (const message of queue.messages) {
        if (message.lease?.holder !== holder) continue;
        this.claim(holderIsGone, "double-lease", () => `released though ${holder} is alive`, message);
        expected += 1;
        this.note(message, `released: ${holder} is gone`);
        this.#release(message);
      }
    }
    this.claim(count === expected, "conservation", () => `${count} messages of ${holder} released, not ${expected}`);
  }

  /** The store began or continued a purge; what of the extent is gone is seen by the audit. */
  purgeBegan(queueId: QueueId, token: string): void {
    const queue = this.queue(queueId);
    queue.purges.set(token, new Set(queue.messages));
    this.claim(
      queue.purges.size <= this.requests.purgesOf(queueId),
      "purge",
      () => `${this.settings.nameOf(queueId)} is purged once more than anybody asked`,
    );
  }

  /** Messages that are no longer in the store, and why. */
  gone(queueId: QueueId, messages: readonly TrackedMessage[], why: Outcome): void {
    const queue = this.queue(queueId);
    for (const message of messages) {
      this.note(message, why);
      this.#end(queue, message, why);
      if (why !== "deleted with its queue") queue.counts[why] += 1;
    }
  }

  // Reading the books.

  queue(id: QueueId): TrackedQueue {
    const queue = this.queues.get(id);
    if (queue === undefined) throw new Violation("conservation", `the store knows a queue ${id} that was never made`);
    return queue;
  }

  readyIn(queue: TrackedQueue): TrackedMessage[] {
    const now = this.world.now();
    return [...queue.messages].filter((message) => message.lease === undefined && message.visibleAt <= now);
  }

  note(message: TrackedMessage, line: string): void {
    message.trail.push(`${this.world.mono} ms: ${line}`);
  }

  #settle(lease: TrackedLease, decision: Decision): void {
    const { message } = lease;
    this.note(message, `settled: ${decision.kind} (attempt ${lease.attempts})`);
    const problem = judge(this.#bench, lease, decision);
    if (problem !== undefined) this.world.fail(new Violation(problem.law, `${problem.message}\n  ${lifeOf(message)}`));
    const queue = this.queue(lease.queue);
    switch (decision.kind) {
      case "ack":
        queue.counts.acked += 1;
        this.#end(queue, message, "acked");
        return;
      case "drop":
        queue.counts.dropped += 1;
        this.#end(queue, message, "dropped");
        return;
      case "retry":
        if (mayBeOfAnother(lease, this.settings.consumersSince(lease.queue, lease.leasedAt)))
          message.got = Math.max(message.got, message.attempts);
        message.lease = undefined;
        message.visibleAt = visibleFrom(decision.visibleAt, this.world.now());
        message.visibleSince = this.world.mono;
        return;
      case "release":
        this.#release(message);
        return;
      case "deadLetter":
        queue.counts.deadLettered += 1;
        queue.messages.delete(message);
        this.#arrive(message, decision.queue);
        return;
      default:
        decision satisfies never;
    }
  }

  #arrive(message: TrackedMessage, target: QueueId): void {
    const queue = this.queue(target);
    queue.counts.accepted += 1;
    queue.messages.add(message);
    message.queue = target;
    message.stay += 1;
    message.lease = undefined;
    message.attempts = 0;
    message.got = 0;
    message.storedAt = this.world.now();
    message.storedAtMono = this.world.mono;
    message.visibleAt = message.storedAt;
    message.visibleSince = this.world.mono;
    this.note(message, `a dead letter in ${this.settings.nameOf(target)}`);
  }

  #release(message: TrackedMessage): void {
    message.lease = undefined;
    message.attempts -= 1;
    message.visibleAt = epochMs(Math.min(message.visibleAt, this.world.now()));
  }

  #end(queue: TrackedQueue, message: TrackedMessage, why: Outcome): void {
    queue.messages.delete(message);
    message.queue = undefined;
    message.lease = undefined;
    message.end = why;
  }
}

type WithoutTime =
  | { readonly kind: "ack" | "notDelivered" | "cancelled" }
  | { readonly kind: "retry"; readonly delayMs: number | undefined };

function isStillThere(lease: TrackedLease): boolean {
  return lease.message.queue === lease.queue && lease.message.stay === lease.stay;
}

function visibleFrom(visibleAt: EpochMs | undefined, now: EpochMs): EpochMs {
  return visibleAt !== undefined && visibleAt > now ? visibleAt : now;
}
