// What clients asked for and were told: nothing may happen to a queue that nobody asked for, and what was answered must be so.

import type { MessageRef, QueueId } from "../../src/core/index.ts";

/** How long a message is to be delayed; `null`: as the queue says. */
export interface Expectation {
  readonly delayS: number | null;
}

export class Requests {
  readonly #expected = new Map<string, Expectation>();
  readonly #accepted = new Map<string, number>();
  readonly #purges = new Map<QueueId, number>();
  readonly #purgedByRef = new Map<QueueId, Set<MessageRef>>();
  /** From which queue to which. */
  readonly #redrives = new Set<string>();
  readonly #deletions = new Set<QueueId>();

  /** A client is about to send a message with this text. */
  expect(text: string, expectation: Expectation): void {
    this.#expected.set(text, expectation);
  }

  /** `undefined`: nobody sent it. */
  expectationOf(text: string): Expectation | undefined {
    return this.#expected.get(text);
  }

  /** A client was told that the message with this text is stored; answers how often that was so. */
  accepted(text: string): number {
    const times = (this.#accepted.get(text) ?? 0) + 1;
    this.#accepted.set(text, times);
    return times;
  }

  purge(queue: QueueId): void {
    this.#purges.set(queue, this.purgesOf(queue) + 1);
  }

  purgesOf(queue: QueueId): number {
    return this.#purges.get(queue) ?? 0;
  }

  purgeByRef(queue: QueueId, refs: readonly MessageRef[]): void {
    const asked = this.#purgedByRef.get(queue) ?? new Set();
    for (const ref of refs) asked.add(ref);
    this.#purgedByRef.set(queue, asked);
  }

  askedToPurge(queue: QueueId, refs: readonly MessageRef[]): boolean {
    return refs.every((ref) => this.#purgedByRef.get(queue)?.has(ref) === true);
  }

  redrive(from: QueueId, to: QueueId): void {
    this.#redrives.add(`${from} ${to}`);
  }

  askedToRedrive(from: QueueId, to: QueueId): boolean {
    return this.#redrives.has(`${from} ${to}`);
  }

  deletion(queue: QueueId): void {
    this.#deletions.add(queue);
  }

  askedToDelete(queue: QueueId): boolean {
    return this.#deletions.has(queue);
  }
}
