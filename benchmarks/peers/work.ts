// The work that every peer does, in the process that holds the peer's client.

import { Histogram } from "../../packages/millrace/src/cli/bench/histogram.ts";
import type { HistogramData } from "../../packages/millrace/src/cli/bench/histogram.ts";
import { DeliveryCounter } from "../../packages/millrace/src/cli/bench/pull-load.ts";
import type { DeliveryCheck } from "../../packages/millrace/src/cli/bench/pull-load.ts";
import type { Body, ConsumeOptions, Session } from "./peer.ts";

export type WorkKind = "send" | "send-many" | "drain" | "steady" | "steady-many" | "latency";

export interface WorkPlan {
  readonly kind: WorkKind;
  readonly seconds: number;
  readonly producers: number;
  readonly bytes: number;
  /** For `drain`: stored before. */
  readonly messages: number;
  readonly firstNumber: number;
}

export interface WorkResult {
  /** Messages of the figure. */
  readonly messages: number;
  readonly ms: number;
  /** Of one send; for `latency`, from the send to the handler. */
  readonly latency: HistogramData;
  readonly check: DeliveryCheck;
  /** Numbers used. */
  readonly numbers: number;
}

const perSend = 100;
/** Messages that may wait between producers and consumers at once. */
const mostWaiting = 20_000;
/** For `latency`. */
export const perSecond = 200;
/** What has not come by then is missing. */
const patienceMs = 60_000;

export async function work(session: Session, plan: WorkPlan): Promise<WorkResult> {
  return await new Work(session, plan).run();
}

class Work {
  readonly #session: Session;
  readonly #plan: WorkPlan;
  readonly #text: string;
  readonly #latency = new Histogram();
  readonly #received: number[] = [];
  #sent = 0;
  #onReceived: () => void = () => undefined;

  constructor(session: Session, plan: WorkPlan) {
    this.#session = session;
    this.#plan = plan;
    this.#text = "x".repeat(Math.max(0, plan.bytes - 31));
  }

  async run(): Promise<WorkResult> {
    const { kind, seconds, messages } = this.#plan;
    switch (kind) {
      case "send":
      case "send-many": {
        const ms = await this.#produce(kind === "send" ? 1 : perSend, { seconds });
        const sent = this.#sent;
        await this.#consumeAll({ batch: perSend, isQuiet: false });
        return this.#result(sent, ms);
      }
      case "drain": {
        await this.#produce(perSend, { messages });
        const startedAt = performance.now();
        await this.#consumeAll({ batch: perSend, isQuiet: false });
        return this.#result(this.#sent, performance.now() - startedAt);
      }
      case "steady":
      case "steady-many": {
        const many = kind === "steady-many";
        await using parts = new AsyncDisposableStack();
        parts.use(await this.#consume({ batch: perSend, isQuiet: false }));
        await this.#prime();
        const startedAt = performance.now();
        await this.#produce(many ? perSend : 1, { seconds });
        await this.#allReceived();
        return this.#result(this.#sent, performance.now() - startedAt);
      }
      case "latency":
        return await this.#pace();
      default:
        return kind satisfies never;
    }
  }

  /** Answers how long it took, in milliseconds. */
  async #produce(count: number, until: { readonly seconds?: number; readonly messages?: number }): Promise<number> {
    const { seconds = Number.POSITIVE_INFINITY, messages = Number.POSITIVE_INFINITY } = until;
    const startedAt = performance.now();
    const endsAt = startedAt + seconds * 1_000;
    await Promise.all(
      Array.from({ length: this.#plan.producers }, async () => {
        while (performance.now() < endsAt && this.#sent < messages) {
          await this.#room();
          const begunAt = performance.now();
          const bodies = Array.from({ length: Math.min(count, messages - this.#sent) }, () => this.#nextBody());
          const [only] = bodies;
          if (count === 1 && only !== undefined) await this.#session.send(only);
          else if (bodies.length > 0) await this.#session.sendMany(bodies);
          this.#latency.record(performance.now() - begunAt);
        }
      }),
    );
    return performance.now() - startedAt;
  }

  /** Consumers take a moment to be there: the clock starts when the first message has come through. */
  async #prime(): Promise<void> {
    await this.#session.send(this.#nextBody());
    await this.#allReceived();
  }

  /** Producers run ahead of consumers only so far. */
  async #room(): Promise<void> {
    if (!this.#plan.kind.startsWith("steady")) return;
    while (this.#sent - this.#received.length > mostWaiting) {
      await new Promise<void>((resolve) => {
        const before = this.#onReceived;
        this.#onReceived = () => {
          before();
          resolve();
        };
      });
    }
  }

  async #pace(): Promise<WorkResult> {
    const { seconds, firstNumber } = this.#plan;
    const count = Math.max(2, Math.round(seconds * perSecond)); // the first goes ahead and is not counted
    const beganAt = new Float64Array(count);
    await using parts = new AsyncDisposableStack();
    const onNumber = (number: number): void => {
      const began = beganAt[number - firstNumber];
      if (began !== undefined && began > 0) this.#latency.record(performance.now() - began);
    };
    parts.use(await this.#consume({ batch: 10, isQuiet: true }, onNumber));
    await this.#prime();
    const failed = Promise.withResolvers<never>();
    const startedAt = performance.now();
    const sentAll = new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        const due = Math.min(count, Math.floor(((performance.now() - startedAt) / 1_000) * perSecond) + 1);
        while (this.#sent < due) {
          beganAt[this.#sent] = performance.now();
          this.#session.send(this.#nextBody()).catch(failed.reject);
        }
        if (this.#sent < count) return;
        clearInterval(timer);
        resolve();
      }, 1);
    });
    await Promise.race([sentAll.then(async () => await this.#allReceived()), failed.promise]);
    return this.#result(count, performance.now() - startedAt);
  }

  async #consumeAll(how: ConsumeOptions): Promise<void> {
    await using parts = new AsyncDisposableStack();
    parts.use(await this.#consume(how));
    await this.#allReceived();
  }

  async #consume(how: ConsumeOptions, onNumber?: (number: number) => void): Promise<AsyncDisposable> {
    return await this.#session.consume(how, (bodies) => {
      for (const { id } of bodies) {
        const number = Number(id);
        this.#received.push(number);
        onNumber?.(number);
      }
      const tell = this.#onReceived;
      this.#onReceived = () => undefined;
      tell();
    });
  }

  /** Returns without them when they take too long: they are missing then. */
  async #allReceived(): Promise<void> {
    const late = AbortSignal.timeout(patienceMs + Math.ceil(this.#sent / 10));
    late.addEventListener("abort", () => this.#onReceived());
    while (this.#received.length < this.#sent && !late.aborted) {
      await new Promise<void>((resolve) => {
        this.#onReceived = resolve;
      });
    }
  }

  #nextBody(): Body {
    const number = this.#plan.firstNumber + this.#sent;
    this.#sent += 1;
    return { id: String(number).padStart(10, "0"), text: this.#text };
  }

  #result(messages: number, ms: number): WorkResult {
    const numbers = this.#sent;
    const counter = new DeliveryCounter({ firstNumber: this.#plan.firstNumber, numbers, refused: [] });
    for (const number of this.#received) counter.count(number);
    return { messages, ms, latency: this.#latency.toJSON(), check: counter.result(), numbers };
  }
}
