// Programs that send, pull, acknowledge, and change settings, over a network that loses and doubles.

import {
  attachConsumer,
  createQueue,
  deleteQueue,
  redrive,
  removeConsumer,
  replaceConsumer,
  updateQueue,
} from "../../src/broker/index.ts";
import type { CatalogDecision, ConsumerDefinition, DecisionContext, PulledMessage } from "../../src/broker/index.ts";
import { isMillraceError, milliseconds, MillraceError, seconds } from "../../src/core/index.ts";
import type { CatalogView, LeaseId, QueueName, QueueRecord } from "../../src/core/index.ts";
import { Dice } from "./dice.ts";
import type { ConsumerSketch, Operation, Passage, PullPlan } from "./history.ts";
import type { Ledger } from "./ledger.ts";
import type { SimulatedServer } from "./server.ts";
import { unexpected } from "./violation.ts";
import { worker } from "./workers.ts";
import type { World } from "./world.ts";

export type OperationOf<K extends Operation["kind"]> = Extract<Operation, { readonly kind: K }>;

type Serving = NonNullable<SimulatedServer["run"]>;

export interface Tally {
  sends: number;
  accepted: number;
  pulled: number;
  refused: number;
}

export class Clients {
  readonly #world: World;
  readonly #ledger: Ledger;
  readonly #seed: number;
  readonly tally: Tally = { sends: 0, accepted: 0, pulled: 0, refused: 0 };
  readonly #serving: (server: number) => Serving | undefined;

  /** `serving`: the server of that number, or another one that takes requests. */
  constructor(world: World, ledger: Ledger, seed: number, serving: (server: number) => Serving | undefined) {
    this.#world = world;
    this.#ledger = ledger;
    this.#seed = seed;
    this.#serving = serving;
  }

  send(operation: Omit<OperationOf<"send">, "kind" | "at">): void {
    const texts = operation.delays.map((_, index) => `${operation.id}.${index}`);
    operation.delays.forEach((delay, index) => {
      this.#ledger.requests.expect(`${operation.id}.${index}`, { delayS: delay ?? operation.batchDelayS });
    });
    const items = operation.delays.map((delay, index) => ({
      contentType: "text",
      body: new TextEncoder().encode(texts[index]),
      delaySeconds: delay ?? undefined,
    }));
    this.tally.sends += texts.length;
    this.#request(
      operation.server,
      operation.passage,
      async (run) => {
        const queue = queueOf(run, operation.queue);
        await run.intake.send(queue.id, items, { batchDelaySeconds: operation.batchDelayS ?? undefined });
      },
      () => {
        this.tally.accepted += texts.length;
        this.#ledger.accepted(texts);
      },
    );
  }

  pull(operation: Omit<OperationOf<"pull">, "kind" | "at">): void {
    const { server, queue: name, max, visibilityMs, waitMs, leavesAfterMs, plan, passage } = operation;
    const dice = new Dice(this.#seed, `pull ${operation.id}`);
    const leaving = new AbortController();
    if (leavesAfterMs !== null) this.#world.post(leavesAfterMs, () => leaving.abort());
    this.#request(
      server,
      passage,
      async (run) => {
        const queue = queueOf(run, name);
        const { messages } = await run.broker.pulls.pull(queue.id, {
          batchSize: max,
          visibility: visibilityMs === null ? undefined : milliseconds(visibilityMs),
          wait: milliseconds(waitMs),
          signal: leaving.signal,
        });
        return { queue, messages };
      },
      (pulled, run) => {
        if (leaving.signal.aborted) return;
        const messages = pulled.messages.map((message) => ({ ...message, lease: storedLease(message.lease) }));
        this.tally.pulled += messages.length;
        this.#ledger.handed(run.process, messages);
        if (visibilityMs !== null) this.#ledger.askedFor(messages, visibilityMs);
        this.#workOn(dice, pulled.queue, pulled.messages, plan, server);
      },
    );
  }

  purge(server: number, name: string): void {
    this.#request(server, "arrives", async (run) => {
      const queue = queueOf(run, name);
      this.#ledger.requests.purge(queue.id);
      await run.broker.purges.start(queue.id);
    });
  }

  purgeSome(server: number, name: string, count: number): void {
    this.#request(server, "arrives", async (run) => {
      const queue = queueOf(run, name);
      const refs = (await run.facade.peek(queue.id, { max: count })).map(({ ref }) => ref);
      this.#ledger.requests.purgeByRef(queue.id, refs);
      await run.facade.purgeByRef(queue.id, refs);
    });
  }

  settings(server: number, change: Pick<OperationOf<"settings">, "queue" | "paused" | "delayS" | "retentionS">): void {
    this.#change(server, (view, context) => {
      const queue = view.queueByName(change.queue);
      if (queue === undefined) return nothing;
      return updateQueue(view, context, {
        id: queue.id,
        settings: {
          deliveryDelaySeconds: change.delayS,
          retentionSeconds: change.retentionS,
          paused: change.paused,
        },
      });
    });
  }

  consumer(server: number, name: string, sketch: ConsumerSketch | null): void {
    this.#change<unknown>(server, (view, context) => {
      const queue = view.queueByName(name);
      if (queue === undefined) return nothing;
      const [existing] = view.consumersOf(queue.id);
      if (sketch === null) {
        return existing === undefined
          ? nothing
          : removeConsumer(view, context, { queue: queue.id, consumer: existing.id });
      }
      const definition = definitionOf(sketch);
      return existing === undefined
        ? attachConsumer(view, context, { queue: queue.id, definition })
        : replaceConsumer(view, context, { queue: queue.id, consumer: existing.id, definition });
    });
  }

  deleteQueue(server: number, name: string): void {
    this.#change(server, (view, context) => {
      const queue = view.queueByName(name);
      if (queue === undefined) return nothing;
      this.#ledger.requests.deletion(queue.id);
      return deleteQueue(view, context, queue.id);
    });
  }

  createQueue(server: number, name: string, settings: { readonly delayS: number; readonly retentionS: number }): void {
    this.#change(server, (view, context) =>
      view.queueByName(name) !== undefined
        ? nothing
        : createQueue(view, context, {
            name: name as QueueName,
            settings: {
              deliveryDelaySeconds: settings.delayS,
              retentionSeconds: settings.retentionS,
              paused: false,
            },
            jurisdiction: null,
          }),
    );
  }

  redrive(server: number, name: string, to: string, max: number): void {
    this.#request(server, "arrives", async (run) => {
      const from = queueOf(run, name);
      const target = queueOf(run, to);
      this.#ledger.requests.redrive(from.id, target.id);
      await redrive({ engine: run.facade, controlPlane: run.controlPlane }, { from: from.id, to: target.id, max });
    });
  }

  rename(server: number, name: string, to: string): void {
    this.#change(server, (view, context) => {
      const queue = view.queueByName(name);
      return queue === undefined ? nothing : updateQueue(view, context, { id: queue.id, name: to as QueueName });
    });
  }

  /** Acknowledges all that is there, again and again, until `until`. */
  pollPolitely(name: string, everyMs: number, until: () => boolean): void {
    const plan = { thinkMs: 0, ack: 1, retry: 0, retryDelayS: null, extendMs: null, againMs: null };
    const request = { max: 100, visibilityMs: 30_000, waitMs: 0, leavesAfterMs: null, passage: "arrives" } as const;
    const poll = (): void => {
      if (until()) return;
      this.pull({ id: -1, server: 0, queue: name, ...request, plan });
      this.#world.post(everyMs, poll);
    };
    this.#world.post(0, poll);
  }

  #workOn(dice: Dice, queue: QueueRecord, messages: readonly PulledMessage[], plan: PullPlan, server: number): void {
    if (messages.length === 0) return;
    const acks = messages.filter(() => dice.chance(plan.ack)).map(({ lease }) => lease);
    const others = messages.filter(({ lease }) => !acks.includes(lease));
    const delay = plan.retryDelayS === null ? undefined : seconds(plan.retryDelayS);
    const retries = others.filter(() => dice.chance(plan.retry)).map(({ lease }) => ({ lease, delay }));
    const { extendMs } = plan;
    const passage = this.#world.calm ? "arrives" : dice.pick<Passage>(["arrives", "arrives", "arrives", "replyLost"]);
    if (extendMs !== null) {
      const leases = messages.map(({ lease }) => lease);
      this.#request(
        server,
        passage,
        async (run) => {
          const askedAt = this.#world.mono;
          return { askedAt, ...(await run.broker.pulls.extend(queue.id, leases, milliseconds(extendMs))) };
        },
        ({ askedAt, stale }) => {
          for (const lease of leases)
            if (!stale.includes(lease)) this.#ledger.extensionAnswered(storedLease(lease), askedAt, extendMs);
        },
      );
    }
    const acknowledge = (): void => {
      for (const lease of acks) this.#ledger.says(storedLease(lease), { kind: "ack" });
      for (const { lease } of retries) this.#ledger.says(storedLease(lease), { kind: "retry", delayMs: delay });
      this.#request(
        server,
        passage,
        async (run) => run.broker.pulls.ack(queue.id, { acks, retries }),
        (answer) => {
          for (const lease of acks) {
            const warning = answer.warnings.get(lease);
            if (warning === undefined || warning.includes("acknowledged all the same"))
              this.#ledger.ackAccepted(storedLease(lease));
          }
        },
      );
    };
    if (acks.length + retries.length === 0) return;
    this.#world.post(plan.thinkMs, acknowledge);
    if (plan.againMs !== null) this.#world.post(plan.thinkMs + plan.againMs, acknowledge);
  }

  #change<T>(
    server: number,
    decide: (view: CatalogView, context: DecisionContext) => CatalogDecision<T> | typeof nothing,
  ): void {
    this.#request(server, "arrives", async (run) => run.controlPlane.change<unknown>("client", decide));
  }

  /** Carries a request to a server and its answer back. Refusals that are promised are part of the game. */
  #request<T>(
    server: number,
    passage: Passage,
    work: (run: Serving) => Promise<T>,
    answered: (answer: T, run: Serving) => void = () => undefined,
  ): void {
    const run = this.#serving(server);
    if (passage === "lost" || run === undefined) return;
    const times = passage === "doubled" ? 2 : 1;
    for (let time = 0; time < times; time += 1) {
      run.process.enter(() => {
        run.openRequests += 1;
        void this.#answer(run, work(run), (answer) => {
          if (passage !== "replyLost") answered(answer, run);
        });
      });
    }
  }

  async #answer<T>(run: Serving, work: Promise<T>, answered: (answer: T) => void): Promise<void> {
    try {
      answered(await work);
    } catch (error) {
      this.tally.refused += 1;
      if (!isMillraceError(error) || error.code === "INTERNAL") this.#world.fail(unexpected(error));
    } finally {
      run.openRequests -= 1;
    }
  }
}

const nothing = { operations: [], audit: [], result: undefined } as const;

function queueOf(run: Serving, name: string): QueueRecord {
  const queue = run.controlPlane.view.queueByName(name);
  if (queue === undefined) throw new MillraceError("QUEUE_NOT_FOUND", `There is no queue ${name}`);
  return queue;
}

/** The engine's lease id behind the one a client sees. */
function storedLease(shown: string): LeaseId {
  return shown.slice(shown.indexOf("-") + 1) as LeaseId;
}

function definitionOf(sketch: ConsumerSketch): ConsumerDefinition {
  const deadLetterQueue = (sketch.deadLetterQueue ?? undefined) as QueueName | undefined;
  const { batchSize, maxRetries, retryDelayS: retryDelaySeconds } = sketch;
  return sketch.type === "worker"
    ? {
        type: "worker",
        script: worker,
        environment: undefined,
        deadLetterQueue,
        settings: {
          batchSize,
          maxRetries,
          retryDelaySeconds,
          maxWaitMs: sketch.maxWaitMs,
          maxConcurrency: sketch.maxConcurrency,
        },
      }
    : {
        type: "http_pull",
        deadLetterQueue,
        settings: { batchSize, maxRetries, retryDelaySeconds, visibilityTimeoutMs: sketch.visibilityMs },
      };
}
