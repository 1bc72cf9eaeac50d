// The way to the store thread and back: gathers what is asked within one turn of the event loop into one message, bounds what is
// under way, and settles each caller's promise.
//
// States: `open`; `closing` (nothing new is taken, what was asked before is answered); `closed`; `broken` (the thread ended by itself:
// what was under way has an unknown outcome, everything later is refused).

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { MillraceError } from "../../core/index.ts";
import type { Logger } from "../../core/index.ts";
import { FrameRing } from "./frame-ring.ts";
import { done } from "./protocol.ts";
import type {
  Answer,
  Failure,
  FromThread,
  Lane,
  Request,
  RequestMessage,
  SendMessage,
  Step,
  ThreadStart,
  ToThread,
} from "./protocol.ts";
import { readStandings } from "./standings-frame.ts";
import type { Standing } from "./standings-frame.ts";

/**
 * What the thread makes dies young. Left alone V8 lets that grow to 48 MB before it looks, and the buffers of as many bodies with
 * it: 410 MB resident after 6 million messages, against 170 MB, at the same speed.
 */
const threadMemory = { maxYoungGenerationSizeMb: 12 };

/**
 * Memory for frames of sends that wait or are under way. Larger than what is under way at once when everything goes well, so that
 * buffers of their own are the exception.
 */
const sharedBytes = 8 * 1024 * 1024;

/** Bytes of bodies and requests that may be under way to the thread; more wait here. */
const inFlightBytes = 64_000_000;
const inFlightRequests = 20_000;
/** Requests and bytes that may wait here; more are refused. */
const waitingRequests = 100_000;
const waitingBytes = 256_000_000;
/**
 * Messages that may wait for the disk at once: one whose group is being stored and one for the thread to go on with. What comes in
 * meanwhile gathers here and travels in the next: a message costs more than the requests in it, on both sides.
 */
const syncedMessages = 2;

/** The sources run as they are in development; what is published is JavaScript. */
const threadModule = new URL(import.meta.url.endsWith(".ts") ? "./thread.ts" : "./thread.js", import.meta.url);

const noBytes = Buffer.alloc(0);

export interface AnsweredRequest {
  readonly result: unknown;
  /** How the queues stand that the request's group touched. */
  readonly standings: ReadonlyMap<string, Standing>;
  /** What the result's slices point into. */
  readonly bytes: Buffer;
}

/** Who waits for an answer. Thousands do at once, so that it keeps nothing of what was asked. */
interface Asked {
  /** Bytes it takes. */
  readonly size: number;
  /** Whether they are in the shared memory. */
  readonly isShared: boolean;
  readonly resolve: (answer: AnsweredRequest) => void;
  readonly reject: (error: Error) => void;
}

interface Waiting {
  readonly lane: Lane;
  readonly what: SendFrameBytes | Writer;
  readonly asked: Asked;
}

/** A send's frame: where it stands in the shared memory, or a buffer of its own. */
type SendFrameBytes = { readonly at: number } | { readonly frame: Buffer };

/** Writes the bytes that a request takes and answers the request. */
type Writer = (buffer: Buffer, at: number) => Exclude<Request, SendMessage>;

/** What an engine needs of the way to its store. */
export type StoreLink = Pick<ThreadLink, "assertOpen" | "send" | "ask" | "askLast" | "close">;

export class ThreadLink {
  readonly #worker: Worker;
  readonly #ring: FrameRing;
  readonly #logger: Logger;
  readonly #onStandings: (standings: readonly Standing[]) => void;
  readonly #exited: Promise<unknown>;
  #state: "open" | "closing" | "closed" | "broken" = "open";
  #failure: MillraceError | undefined;
  readonly #waiting: Record<Lane, Waiting[]> = { swift: [], synced: [] };
  /** In the synced lane after what else is asked in this turn. */
  readonly #waitingLast: Waiting[] = [];
  #waitingSize = 0;
  /** In the order they were posted, which is the order they are answered in, lane by lane. */
  readonly #inFlight: Record<Lane, Asked[]> = { swift: [], synced: [] };
  #inFlightCount = 0;
  #inFlightSize = 0;
  /** Requests that wait for the disk and are not answered, message by message. */
  readonly #messages: number[] = [];
  #isScheduled = false;
  #closing: Promise<void> | undefined;
  /** Called once when the thread has ended by itself. */
  onBroken: ((failure: MillraceError) => void) | undefined;
  /** Wakes `close` when nothing is under way any more. */
  #onIdle: (() => void) | undefined;

  private constructor(
    worker: Worker,
    ring: FrameRing,
    logger: Logger,
    onStandings: (standings: readonly Standing[]) => void,
  ) {
    this.#worker = worker;
    this.#ring = ring;
    this.#logger = logger;
    this.#onStandings = onStandings;
    this.#exited = once(worker, "exit");
    worker.on("message", (message: FromThread) => this.#receive(message));
    worker.on("error", (error) =>
      this.#break({ code: "INTERNAL", detail: `The store thread failed: ${error.message}` }),
    );
    worker.on("exit", () => this.#break({ code: "UNAVAILABLE", detail: "The store thread has ended" }));
  }

  /** Starts the thread. Throws what opening the data throws. `module` is given by tests only. */
  static async start(
    start: Omit<ThreadStart, "shared">,
    logger: Logger,
    onStandings: (standings: readonly Standing[]) => void,
    module: URL = threadModule,
  ): Promise<ThreadLink> {
    const shared = new SharedArrayBuffer(sharedBytes);
    const workerData: ThreadStart = { ...start, shared };
    const worker = new Worker(module, { name: "millrace-store", workerData, resourceLimits: threadMemory });
    const opened = Promise.withResolvers<void>();
    const listen = (message: FromThread): void => {
      if (message.kind === "opened") opened.resolve();
      else if (message.kind === "failed") opened.reject(errorOf(message.failure));
      else if (message.kind === "event") logger[message.level](message.event, message.fields); // what it found
    };
    const ended = (): void => opened.reject(new MillraceError("UNAVAILABLE", "The store thread ended while it opened"));
    worker.on("message", listen).once("error", opened.reject).once("exit", ended);
    await opened.promise.finally(() => worker.off("message", listen).off("error", opened.reject).off("exit", ended));
    return new ThreadLink(worker, new FrameRing(Buffer.from(shared)), logger, onStandings);
  }

  /** Throws `ENGINE_CLOSED`, or what broke the engine. */
  assertOpen(): void {
    if (this.#state !== "open") throw this.#refusal();
  }

  /**
   * Asks the thread to store messages. `write` writes the send's frame, `size` bytes, at once: nothing is kept of what it was made of.
   */
  async send(size: number, write: (buffer: Buffer, at: number) => undefined): Promise<AnsweredRequest> {
    this.#assertRoom(size);
    const at = this.#ring.take(size);
    if (at === undefined) {
      const frame = Buffer.allocUnsafe(size);
      write(frame, 0);
      return await this.#enqueue("synced", { frame }, { size, isShared: false });
    }
    try {
      write(this.#ring.bytes, at);
    } catch (error) {
      this.#ring.undo(at);
      throw error;
    }
    return await this.#enqueue("synced", { at }, { size, isShared: true });
  }

  /** Asks the thread for anything else. `write` writes the `size` bytes that the request refers to. */
  async ask(size: number, write: Writer, lane: Lane = "synced"): Promise<AnsweredRequest> {
    this.#assertRoom(size);
    return await this.#enqueue(lane, write, { size, isShared: false });
  }

  /** The same, in the synced lane and after all that is asked in this turn of the event loop. */
  async askLast(write: Writer): Promise<AnsweredRequest> {
    this.#assertRoom(0);
    return await this.#enqueue("synced", write, { size: 0, isShared: false }, this.#waitingLast);
  }

  async #enqueue(
    lane: Lane,
    what: Waiting["what"],
    { size, isShared }: Pick<Asked, "size" | "isShared">,
    line: Waiting[] = this.#waiting[lane],
  ): Promise<AnsweredRequest> {
    return await new Promise<AnsweredRequest>((resolve, reject) => {
      line.push({ lane, what, asked: { size, isShared, resolve, reject } });
      this.#waitingSize += size;
      this.#schedule();
    });
  }

  #assertRoom(size: number): void {
    this.assertOpen();
    if (this.#waitingCount < waitingRequests && this.#waitingSize + size <= waitingBytes) return;
    throw new MillraceError("UNAVAILABLE", "Too many requests wait for the disk");
  }

  /** Answers what was asked before, then ends the thread. May be called repeatedly. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#state === "open") this.#state = "closing";
    if (this.#waitingCount + this.#inFlightCount > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    if (this.#state === "closing") {
      this.#state = "closed";
      this.#worker.postMessage({ kind: "close" } satisfies ToThread, []);
    }
    await this.#exited;
  }

  get #waitingCount(): number {
    return this.#waiting.swift.length + this.#waiting.synced.length + this.#waitingLast.length;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const batch = this.#waiting.swift.splice(0);
    let size = batch.reduce((sum, { asked }) => sum + asked.size, 0);
    const { synced } = this.#waiting;
    synced.push(...this.#waitingLast.splice(0));
    if (this.#messages.length < syncedMessages) {
      let count = 0;
      for (const each of synced) {
        const isFirst = count === 0 && this.#inFlightCount === 0;
        if (!isFirst && this.#inFlightSize + size + each.asked.size > inFlightBytes) break;
        if (this.#inFlightCount + count >= inFlightRequests) break;
        size += each.asked.size;
        count += 1;
      }
      batch.push(...synced.splice(0, count));
    }
    if (batch.length === 0) return;
    this.#waitingSize -= size;
    this.#post(batch);
  }

  #post(batch: readonly Waiting[]): void {
    const size = batch.reduce((sum, { asked }) => (asked.isShared ? sum : sum + asked.size), 0);
    const buffer = size === 0 ? undefined : Buffer.from(new ArrayBuffer(size));
    const steps: Step[] = [];
    /** The last step, as long as sends can be added to it, and where the next one's frame would have to be. */
    let open: { sends: number; readonly at: number; readonly isShared: boolean } | undefined;
    let openEnd = 0;
    let end = 0;
    let synced = 0;
    for (const { lane, what, asked } of batch) {
      try {
        if (typeof what === "function") {
          steps.push(what(buffer ?? noBytes, end));
          end += asked.size;
          open = undefined;
        } else {
          const at = "at" in what ? what.at : end;
          if ("frame" in what) end += what.frame.copy(buffer ?? noBytes, end);
          if (open?.isShared === asked.isShared && openEnd === at) open.sends += 1;
          else steps.push((open = { sends: 1, at, isShared: asked.isShared }));
          openEnd = at + asked.size;
        }
        this.#inFlight[lane].push(asked);
        this.#inFlightCount += 1;
        if (lane === "synced") synced += 1;
        this.#inFlightSize += asked.size;
      } catch (error) {
        // What cannot be written was never asked; the others do not suffer for it.
        asked.reject(error instanceof Error ? error : new Error(String(error)));
      }
    }
    if (synced > 0) this.#messages.push(synced);
    const message: RequestMessage = { kind: "requests", steps, bytes: buffer };
    this.#worker.postMessage(message, buffer === undefined ? [] : [buffer.buffer]);
  }

  #receive(message: FromThread): void {
    switch (message.kind) {
      case "opened":
        return;
      case "event":
        this.#logger[message.level](message.event, message.fields);
        return;
      case "failed":
        this.#break(message.failure);
        return;
      case "answers":
        this.#answer(message.lane, message.answers, readStandings(message.standings), message.bytes);
        return;
      default:
        message satisfies never;
    }
  }

  #answer(lane: Lane, answers: readonly Answer[], standings: readonly Standing[], sent: Uint8Array | undefined): void {
    const bytes = sent === undefined ? noBytes : Buffer.from(sent.buffer, sent.byteOffset, sent.length);
    const byQueue = new Map(standings.map((standing) => [standing.queue as string, standing]));
    const nothing = { result: undefined, standings: byQueue, bytes };
    const answered = this.#inFlight[lane].splice(0, answers.length);
    this.#inFlightCount -= answered.length;
    if (lane === "synced") this.#countAnswered(answered.length);
    for (const [index, answer] of answers.entries()) {
      const asked = answered[index];
      if (asked === undefined) throw new Error("the store thread answered more than it was asked");
      this.#inFlightSize -= asked.size;
      if (asked.isShared) this.#ring.free();
      if (answer === done) asked.resolve(nothing);
      else if ("failure" in answer) asked.reject(errorOf(answer.failure));
      else asked.resolve({ result: answer.result, standings: byQueue, bytes });
    }
    this.#onStandings(standings);
    if (this.#waitingCount > 0) this.#schedule();
    else if (this.#inFlightCount === 0) this.#onIdle?.();
  }

  /** A group may hold several messages, and a long message makes several groups. */
  #countAnswered(requests: number): void {
    let left = requests;
    for (let [first] = this.#messages; first !== undefined && left > 0; [first] = this.#messages) {
      if (first > left) this.#messages[0] = first - left;
      else this.#messages.shift();
      left -= first;
    }
  }

  /** The thread has ended or is about to. Only what it was given may have happened. */
  #break(failure: Failure): void {
    if (this.#state === "closed" || this.#state === "broken") return;
    this.#state = "broken";
    this.#failure = errorOf(failure);
    this.#logger.error("storage.failed", { code: failure.code, error: failure.detail });
    for (const { reject } of [...this.#inFlight.swift, ...this.#inFlight.synced]) {
      reject(
        new MillraceError("UNKNOWN_OUTCOME", "The storage engine failed while it worked on this", {
          cause: this.#failure,
        }),
      );
    }
    const lines = [...Object.values(this.#waiting), this.#waitingLast];
    for (const { asked } of lines.flat()) asked.reject(this.#refusal());
    this.#inFlight.swift = [];
    this.#inFlight.synced = [];
    this.#inFlightCount = 0;
    for (const each of lines) each.length = 0;
    this.#onIdle?.();
    this.onBroken?.(this.#refusal());
  }

  #refusal(): MillraceError {
    if (this.#state !== "broken") return new MillraceError("ENGINE_CLOSED", "The storage engine is closed");
    const { code, detail } = this.#failure ?? { code: "UNAVAILABLE", detail: "The storage engine failed" };
    return new MillraceError(code === "DATA_DAMAGED" || code === "DATA_MOVED" ? code : "UNAVAILABLE", detail, {
      cause: this.#failure,
    });
  }
}

function errorOf({ code, detail }: Failure): MillraceError {
  return new MillraceError(code, detail);
}
