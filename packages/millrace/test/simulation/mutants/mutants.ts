// Deliberate mistakes in core, broker and engine: each a change of the source text that the checkers must notice. A text that is no
// longer there, or there twice, is reported: the table must not rot.

export interface Mutant {
  readonly name: string;
  /** Below `packages/millrace/src/`. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const consumerLoop = "broker/consumer-loop.ts";
const memoryQueue = "engines/memory/queue.ts";
const memoryEngine = "engines/memory/engine.ts";
const settlement = "core/settlement.ts";

export const mutants: readonly Mutant[] = [
  // core
  {
    name: "one retry too many",
    file: settlement,
    find: "if (retriesUsed < policy.maxRetries) {",
    replace: "if (retriesUsed <= policy.maxRetries) {",
  },
  {
    name: "one retry too few",
    file: settlement,
    find: "const retriesUsed = attempts - 1;",
    replace: "const retriesUsed = attempts;",
  },
  {
    name: "a retry forgets its delay",
    file: settlement,
    find: "visibleAt: delay > 0 ? after(now, delay) : undefined",
    replace: "visibleAt: undefined",
  },
  {
    name: "an explicit delay of 0 is taken for none",
    file: settlement,
    find: "const delay = verdict.delay ?? policy.retryDelay;",
    replace: "const delay = verdict.delay || policy.retryDelay;",
  },
  {
    name: "what is exhausted is dropped though a dead letter queue is named",
    file: settlement,
    find: 'return { kind: "deadLetter", queue: policy.deadLetterQueue };',
    replace: 'return { kind: "drop" };',
  },
  {
    name: "a handler that throws acknowledges",
    file: settlement,
    find: 'if (result.outcome === "ok") return { kind: "ack" };',
    replace: 'return { kind: "ack" };',
  },
  {
    name: "an explicit ack does not count when the handler throws",
    file: settlement,
    find: 'if (acked.has(id)) return { kind: "ack" };',
    replace: 'if (acked.has(id) && result.outcome === "ok") return { kind: "ack" };',
  },
  {
    name: "live messages expire",
    file: "core/retention.ts",
    find: "return epochMs(now - retention);",
    replace: "return epochMs(now - retention / 2);",
  },
  {
    name: "batches go before they are due",
    file: "core/batch-window.ts",
    find: "if (readiness.ready > 0) {",
    replace: 'if (readiness.ready > 0) {\n    if (window.timeout > 0) return { kind: "deliver" };',
  },
  {
    name: "a batch waits until it is full, however long",
    file: "core/batch-window.ts",
    find: "const since = readiness.readySince ?? now;",
    replace: 'const since = now;\n    if (since > 0) return { kind: "wait", at: readiness.nextDueAt };',
  },
  {
    name: "one delivery more at once than allowed",
    file: "core/slots.ts",
    find: "if (places.size >= max) return undefined;",
    replace: "if (places.size > max) return undefined;",
  },
  {
    name: "a delay on sending is forgotten",
    file: "contract/sending.ts",
    find: "visibleAt: visibleAfter(",
    replace: "visibleAt: ((..._: readonly unknown[]) => undefined)(",
  },

  // broker
  {
    name: "a send is answered before it is stored",
    file: "broker/intake.ts",
    find: "const receipt = await engine.send(queue, messages);",
    replace: "engine.send(queue, messages).catch(() => undefined);\n    const receipt = await engine.metrics(queue);",
  },
  {
    name: "a batch is acknowledged before its handler ran",
    file: consumerLoop,
    find: "const outcome = await target.deliver(",
    replace:
      'await this.#dependencies.engine.settle(queue.id, { each: [], whole: [{ batch, decision: { kind: "ack" } }] });\n    const outcome = await target.deliver(',
  },
  {
    name: "a lease is lost: what failed is never settled",
    file: consumerLoop,
    find: "const result = resultOf(outcome);",
    replace: 'const result = resultOf(outcome);\n    if (outcome.kind === "died") return;',
  },
  {
    name: "a batch that never reached a handler costs an attempt",
    file: "broker/delivery-report.ts",
    find: 'case "notDelivered":\n    case "cancelled":\n      return undefined;',
    replace:
      'case "notDelivered":\n      return failedDelivery("notDelivered");\n    case "cancelled":\n      return undefined;',
  },
  {
    name: "a process that dies with a batch costs no attempt",
    file: "broker/delivery-report.ts",
    find: 'return failedDelivery("daemonDown");',
    replace: "return undefined;",
  },
  {
    name: "wake-ups are dropped",
    file: consumerLoop,
    find: "this.#readiness = readiness ?? unknownReadiness;",
    replace: "if (this.#readiness.ready === 0) return;",
  },
  {
    name: "a Worker that is ready again is not noticed",
    file: consumerLoop,
    find: "workerReady(): void {",
    replace: "workerReady(): void {\n    if (this.#readiness !== undefined) return;",
  },
  {
    name: "what was leased ahead is not given back",
    file: consumerLoop,
    find: "this.#giveBack(this.#ahead.takeAll());",
    replace: "this.#ahead.takeAll();",
  },
  {
    name: "a place for a delivery is not freed",
    file: consumerLoop,
    find: "await slot?.release();",
    replace: "await Promise.resolve();",
  },
  {
    name: "a stopped loop goes on leasing",
    file: consumerLoop,
    find: 'if (this.#stopped) return { kind: "stopped" };',
    replace: "",
  },
  {
    name: "leases that ended are never taken back",
    file: "broker/lease-expiry.ts",
    find: "if (at === undefined || this.#stopped) return;",
    replace: "if (at === undefined || at > 0 || this.#stopped) return;",
  },
  {
    name: "a starting server leaves what dead servers held",
    file: "broker/broker.ts",
    find: "const count = await engine.releaseHolder(holder);",
    replace: "const count = 0;",
  },
  {
    name: "retention is not swept",
    file: "broker/retention-sweeper.ts",
    find: "if (at === undefined) return;",
    replace: "if (at === undefined || at > 0) return;",
  },
  {
    name: "each slice of a purge begins a new one",
    file: "broker/purges.ts",
    find: "const slice = await this.#engine.purge(queue, token);",
    replace: "const slice = await this.#engine.purge(queue, token.slice(99) || undefined);",
  },
  {
    name: "a dead letter queue that was deleted loses its letters",
    file: "broker/settler.ts",
    find: "if (drops(request) && (await this.#restoreDeadLetterQueue(consumer))) {",
    replace: "if (drops(request) && consumer === null) {",
  },
  {
    name: "a pull client's retry is taken for an ack",
    file: "broker/pull.ts",
    find: 'settle(attempts, { kind: "retry", delay }, rules, now)',
    replace: '{ kind: "ack" }',
  },
  {
    name: "a pull client is told of an ack that did not count",
    file: "broker/pull.ts",
    find: "for (const lease of receipt.stale) {",
    replace: "for (const lease of receipt.stale.slice(1)) {",
  },
  {
    name: "changes of settings overwrite each other",
    file: "engines/memory/catalog.ts",
    find: "if (change.expectedRevision !== this.#revision) {",
    replace: "if (change.expectedRevision > this.#revision) {",
  },
  {
    name: "a pull lease that ended costs no attempt",
    file: "broker/lease-expiry.ts",
    find: 'consumer?.type === "worker"',
    replace: "consumer !== undefined",
  },
  {
    name: "a settlement that failed is not tried again",
    file: "broker/settler.ts",
    find: "if (!retryable || (tries >= maxTries && isBounded())) {",
    replace: "{",
  },
  {
    name: "leases are taken back half a minute late",
    file: "broker/lease-expiry.ts",
    find: "alarms.setIfEarlier(`lease-expiry:${queue}`, at,",
    replace: "alarms.setIfEarlier(`lease-expiry:${queue}`, (at + 30_000) as typeof at,",
  },
  {
    name: "messages expire after twice their time",
    file: "core/retention.ts",
    find: "return epochMs(now - retention);",
    replace: "return epochMs(now - 2 * retention);",
  },
  {
    name: "a lease ends before the longest handler does",
    file: consumerLoop,
    find: "milliseconds(limits.consumer.wallTimeMs + 120_000)",
    replace: "milliseconds(60_000)",
  },
  {
    name: "a paused queue is delivered",
    file: consumerLoop,
    find: 'if (this.#queue.paused) return { kind: "paused" };',
    replace: "",
  },
  {
    name: "a paused queue is pulled",
    file: "broker/pull.ts",
    find: "if (record.paused)",
    replace: "if (record.paused && this.#stopped)",
  },
  {
    name: "the visibility timeout of a pull does not count",
    file: "broker/pull.ts",
    find: "request.visibility ?? milliseconds(consumer.visibility_timeout_ms)",
    replace: "milliseconds(consumer.visibility_timeout_ms)",
  },
  {
    name: "an extension lasts half as long as it was asked for",
    file: "broker/pull.ts",
    find: "(clock.now() + visibility) as EpochMs",
    replace: "(clock.now() + visibility / 2) as EpochMs",
  },
  {
    name: "a starting server takes back what pull clients hold",
    file: "broker/broker.ts",
    find: 'if (!holder.startsWith("server:")) continue;',
    replace: "",
  },
  {
    name: "a purge stops half way",
    file: "broker/purges.ts",
    find: "for (let more = true; more && !this.#stopped;) {",
    replace: "for (let more = true; more && purge.status.purged < 3;) {",
  },
  {
    name: "lost hints are not made up for",
    file: "broker/broker.ts",
    find: "broker.#surveyPoll.start();",
    replace: "",
  },
  {
    name: "a place that cannot be freed stops its loop",
    file: consumerLoop,
    find: 'logger.warn("slot.release_failed", fields);',
    replace: "throw error;",
  },
  {
    name: "a push that was leased and never delivered costs an attempt",
    file: "broker/lease-expiry.ts",
    find: 'consumer?.type === "worker"',
    replace: 'consumer?.id === "none"',
  },
  {
    name: "settings that could not be loaded are not loaded again",
    file: "broker/control-plane.ts",
    find: "if (this.#isBehind || options.load)",
    replace: "if (options.load)",
  },
  {
    name: "a stop forgets what removed consumers still do",
    file: "broker/broker.ts",
    find: ", ...this.#retiring];",
    replace: "];",
  },

  // engine
  {
    name: "a dead letter stays in its queue too",
    file: memoryQueue,
    find: 'this.#remove(stored, "deadLettered");',
    replace: "this.#endLease(stored);\n        this.#makeVisible(stored.number, undefined, now);",
  },
  {
    name: "a dead letter does not arrive",
    file: memoryQueue,
    find: "targets.get(decision.queue)?.add({ ...stored.message, visibleAt: undefined }, now);",
    replace: "targets.get(decision.queue)?.holds(stored.message.id);",
  },
  {
    name: "a dead letter arrives twice",
    file: memoryQueue,
    find: "targets.get(decision.queue)?.add({ ...stored.message, visibleAt: undefined }, now);",
    replace:
      "for (const _ of [1, 2]) targets.get(decision.queue)?.add({ ...stored.message, visibleAt: undefined }, now);",
  },
  {
    name: "two consumers get the same message",
    file: memoryQueue,
    find: "const batch = this.#sequence.next();",
    replace:
      "if (taken.length > 3) for (const { number } of taken.slice(3)) this.#ready.set(number, now);\n    const batch = this.#sequence.next();",
  },
  {
    name: "a release counts an attempt",
    file: memoryQueue,
    find: "stored.attempts -= 1;",
    replace: "",
  },
  {
    name: "what is acked late comes back",
    file: memoryQueue,
    find: "if (!isCurrent) late.push(lease);",
    replace: "if (!isCurrent) {\n        late.push(lease);\n        done += 1;\n        continue;\n      }",
  },
  {
    name: "what is acked is delivered again",
    file: memoryQueue,
    find: 'this.#remove(stored, "acked");',
    replace:
      'this.#remove(stored, "acked");\n        if (stored.attempts === 2) this.#messages.set(stored.number, stored), this.#ready.set(stored.number, now);',
  },
  {
    name: "a lease that was lost to another consumer still retries",
    file: memoryQueue,
    find: 'if (stored === undefined || (!isCurrent && decision.kind !== "ack")) {',
    replace: "if (stored === undefined) {",
  },
  {
    name: "leases are reported as ended that are not",
    file: memoryQueue,
    find: "return this.#leased.due(now, limit)",
    replace: "return this.#leased.due(after(now, 500 as never), limit)",
  },
  {
    name: "retention takes what somebody holds",
    file: memoryQueue,
    find: "stored.storedAt < storedBefore && stored.batch === undefined;",
    replace: "stored.storedAt < storedBefore;",
  },
  {
    name: "only half of a batch is stored",
    file: memoryEngine,
    find: "for (const message of messages) {",
    replace: "for (const message of messages.slice(0, Math.ceil(messages.length / 2))) {",
  },
  {
    name: "a batch is stored in part when it fails half way",
    file: memoryEngine,
    find: "queue.add(message, now);",
    replace:
      'if (queue.backlog().count === 7) throw new MillraceError("UNAVAILABLE", "half way");\n      queue.add(message, now);',
  },
  {
    name: "a settlement that is answered is not stored",
    file: memoryEngine,
    find: "const outcome = queue.settle(request, now, targets);",
    replace:
      "const outcome =\n      this.#sequence.next() % 7 === 0\n        ? { done: request.whole.length, late: [], stale: [] }\n        : queue.settle(request, now, targets);",
  },
  {
    name: "a purge leaves what is leased",
    file: memoryQueue,
    find: "const doomed = [...this.#messages.values()];",
    replace: "const doomed = [...this.#messages.values()].filter(({ batch }) => batch === undefined);",
  },
  {
    name: "an expired message is not counted",
    file: memoryQueue,
    find: "this.#gone[outcome] += 1;",
    replace: 'if (outcome !== "expired") this.#gone[outcome] += 1;',
  },
  {
    name: "an extension moves no lease",
    file: memoryQueue,
    find: "this.#leased.set(number, endsAt);",
    replace: "",
  },
];
