// One connection to the dispatcher inside a workerd process. It has one batch under way at a time, and what becomes of the batch is
// read from what becomes of the connection.
//
// Not undici: with its pool, streams and combined signals the hand-over of a batch of 10 takes 78 µs of processor time and one of 100
// takes 142, with this 34 and 86.

import { connect } from "node:net";
import type { Socket } from "node:net";
import type { Delivery, DeliveryOutcome } from "../broker/index.ts";
import { encodeDelivery } from "./delivery-frame.ts";
import { parseDispatchAnswer } from "./delivery-result.ts";
import type { DispatchAnswer } from "./delivery-result.ts";
import { HttpMessageReader } from "./http-message-reader.ts";
import type { HttpMessage } from "./http-message-reader.ts";

export interface DeliverOptions {
  readonly signal: AbortSignal;
  readonly wallTimeMs: number;
}

export type DispatchOutcome =
  | { readonly kind: "answered"; readonly answer: DispatchAnswer }
  | Exclude<DeliveryOutcome, { readonly kind: "completed" }>;

/** The first byte of an answer says that the batch is about to reach the handler; the rest is the result. */
const receipt = 0x0a;
/** A result of 100 messages takes 10 kB; the text of an error may be long. */
const mostAnswerBytes = 16_777_216;

export class DispatchConnection {
  readonly #socket: Socket;
  readonly #reader = new HttpMessageReader(() => mostAnswerBytes);
  /** Takes what becomes of the batch that the dispatcher has. */
  #underWay: ((outcome: DispatchOutcome) => void) | undefined;
  /** Listened to from one batch to the next, which usually come with the same. */
  #signal: AbortSignal | undefined;
  /** One for all batches: setting it anew costs less than another. */
  #overdue: NodeJS.Timeout | undefined;
  #wallTimeMs = 0;
  #failure = "the other end closed it";
  #idleSince = 0;

  /** `onClose`: it is of no use any more. */
  constructor(socketPath: string, onClose: () => void) {
    this.#socket = connect(socketPath);
    this.#socket.on("data", (bytes: Buffer) => this.#read(bytes));
    this.#socket.on("error", (error) => {
      this.#failure = error.message;
    });
    this.#socket.on("close", () => {
      clearTimeout(this.#overdue);
      this.#listenTo(undefined);
      onClose();
      this.#finish(this.#broken());
    });
  }

  /** Whether it can take another batch. */
  get isReusable(): boolean {
    return this.#underWay === undefined && this.#socket.writable;
  }

  get idleMs(): number {
    return performance.now() - this.#idleSince;
  }

  /** Never rejects. */
  async deliver(delivery: Delivery, { signal, wallTimeMs }: DeliverOptions): Promise<DispatchOutcome> {
    return await new Promise((resolve) => {
      this.#underWay = resolve;
      this.#listenTo(signal);
      this.#watch(wallTimeMs);
      this.#socket.write(encodeDelivery(delivery, requestHead));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #listenTo(signal: AbortSignal | undefined): void {
    if (signal === this.#signal) return;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#signal = signal;
    signal?.addEventListener("abort", this.#onAbort);
  }

  readonly #onAbort = (): void => {
    if (this.#underWay !== undefined) this.#end({ kind: "cancelled" });
  };

  #watch(wallTimeMs: number): void {
    if (this.#overdue !== undefined && this.#wallTimeMs === wallTimeMs) {
      this.#overdue.refresh();
      return;
    }
    clearTimeout(this.#overdue);
    this.#wallTimeMs = wallTimeMs;
    this.#overdue = setTimeout(() => this.#tookTooLong(), wallTimeMs);
    this.#overdue.unref();
  }

  #tookTooLong(): void {
    if (this.#underWay === undefined) return;
    this.#end(
      this.#isReceived
        ? { kind: "timedOut", detail: `the handler ran longer than ${this.#wallTimeMs / 1_000} seconds` }
        : { kind: "notDelivered", detail: "the Worker did not take the batch" },
    );
  }

  get #isReceived(): boolean {
    return this.#reader.firstBodyByte === receipt;
  }

  #broken(): DispatchOutcome {
    return this.#isReceived
      ? { kind: "died", detail: `the connection to the Worker broke while it had the batch (${this.#failure})` }
      : { kind: "notDelivered", detail: `the Worker could not be reached (${this.#failure})` };
  }

  #read(bytes: Buffer): void {
    let message: HttpMessage | undefined;
    try {
      this.#reader.push(bytes);
      message = this.#reader.next();
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error);
      this.#socket.destroy();
      return;
    }
    if (message === undefined) return;
    const outcome = outcomeOf(message);
    // What follows an answer nobody asked for is a sign that the two ends do not understand each other.
    if (!this.#reader.isIdle || message.head.headers.get("connection")?.toLowerCase() === "close") this.#end(outcome);
    else this.#finish(outcome);
  }

  /** The end of the batch and of the connection; the dispatcher cancels the handler when it sees that. */
  #end(outcome: DispatchOutcome): void {
    this.#socket.destroy();
    this.#finish(outcome);
  }

  #finish(outcome: DispatchOutcome): void {
    const underWay = this.#underWay;
    if (underWay === undefined) return;
    this.#underWay = undefined;
    this.#idleSince = performance.now();
    underWay(outcome);
  }
}

const requestHead = (bytes: number): string =>
  `POST /deliver HTTP/1.1\r\nHost: dispatcher\r\nContent-Length: ${bytes}\r\n\r\n`;

function outcomeOf({ head, body, length }: HttpMessage): DispatchOutcome {
  const [, status] = head.start.split(" ", 2);
  if (status !== "200") return { kind: "notDelivered", detail: `the dispatcher answered ${status}` };
  if (body === undefined) return { kind: "died", detail: `the result of the batch takes ${length} bytes` };
  try {
    return { kind: "answered", answer: parseDispatchAnswer(body.toString("utf8")) };
  } catch (error) {
    const detail = `the result of the batch cannot be read (${String(error)})`;
    return { kind: body[0] === receipt ? "died" : "notDelivered", detail };
  }
}
