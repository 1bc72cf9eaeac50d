// The store thread: takes everything that waits, runs it as one group (what need not wait for the disk before it, as a group of its
// own), answers each group in one message, and tidies up while idle.

import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { isMillraceError } from "../../core/index.ts";
import { giveMemoryBackWhenQuiet } from "../../threads/index.ts";
import { lossWords, noteDamage, setAsideWords } from "./damage-log.ts";
import { openStore } from "./opening.ts";
import { laneOf } from "./protocol.ts";
import type { Failure, FromThread, Lane, ThreadStart, ToThread } from "./protocol.ts";
import { readSendFrame } from "./send-frame.ts";
import { sqliteErrorCode } from "./sql.ts";
import { standingsFrame } from "./standings-frame.ts";
import type { DamagedMessages, Loss, Store, WaitingRequest } from "./store.ts";

/** Requests and bytes that one transaction takes at most; the rest waits for the next. */
const groupRequests = 4_096;
const groupBytes = 32_000_000;

/** Nothing came in for so long: time to tidy up. */
const idleMs = 10;

if (parentPort === null) throw new Error("this module is the store thread's; it is not imported");
const port = parentPort;
const noBytes = Buffer.alloc(0);

function post(message: FromThread, transfer: readonly ArrayBufferLike[] = []): void {
  port.postMessage(message, transfer as ArrayBuffer[]);
}

function fail(error: unknown): void {
  const detail = error instanceof Error ? error.message : String(error);
  const failure: Failure = isMillraceError(error)
    ? { code: error.code, detail: error.detail }
    : { code: sqliteErrorCode(error) ?? "INTERNAL", detail: `The storage engine failed: ${detail}` };
  post({ kind: "failed", failure });
  port.close();
}

function serve(store: Store, folder: string, shared: Buffer): void {
  let isClosing = false;
  let idleTimer: NodeJS.Timeout | undefined;

  /** What came in and is not run yet: while a copy is being made, there may be several. */
  const inbox: ToThread[] = [];
  const nextMessage = (): ToThread | undefined => inbox.shift() ?? received();

  /** Everything that waits, up to the limits of a group. */
  const collect = (): WaitingRequest[] => {
    const waiting: WaitingRequest[] = [];
    let size = 0;
    for (let message = nextMessage(); message !== undefined; message = nextMessage()) {
      if (message.kind === "close") {
        isClosing = true;
        break;
      }
      const { bytes: sent } = message;
      const bytes = sent === undefined ? noBytes : Buffer.from(sent.buffer, sent.byteOffset, sent.length);
      for (const step of message.steps) {
        if (!("sends" in step)) {
          waiting.push({ request: step, bytes });
          continue;
        }
        const source = step.isShared ? shared : bytes;
        let { at } = step;
        for (let left = step.sends; left > 0; left -= 1) {
          const { frame, end } = readSendFrame(source, at);
          waiting.push({ request: { op: "send", ...frame }, bytes: source });
          at = end;
        }
        if (step.isShared) size += at - step.at;
      }
      size += bytes.length;
      if (waiting.length >= groupRequests || size >= groupBytes) break;
    }
    return waiting;
  };

  /** Runs what waits; answers whether there was anything. While a copy is being made, a turn is one group. */
  const turn = (): boolean => {
    if (store.copy?.holdsStore === true) return false;
    let hasWorked = false;
    try {
      let waiting = collect();
      while (waiting.length > 0) {
        hasWorked = true;
        const lanes = Map.groupBy(waiting, ({ request }) => laneOf(request));
        answer(store, "swift", lanes.get("swift"));
        answer(store, "synced", lanes.get("synced"));
        tidy(() => store.payUp());
        for (const damaged of store.takeDamaged()) tellSetAside(folder, damaged);
        tidy(() => store.keepUp());
        store.copy?.start(turn, turn);
        waiting = isClosing || isCopying() ? [] : collect();
      }
      if (isClosing && isCopying()) {
        store.copy?.abort(); // and then comes here again
      } else if (isClosing) {
        clearTimeout(idleTimer);
        store.close();
        port.close();
      } else {
        tidyWhenIdle();
      }
    } catch (error) {
      clearTimeout(idleTimer);
      store.copy?.abort();
      fail(error);
    }
    return hasWorked;
  };

  const isCopying = (): boolean => store.copy?.state.kind === "copying";

  /** Tidies up slice by slice once nothing came in for a while; whatever comes in goes first, and the wait starts again. */
  const tidyWhenIdle = (): void => {
    clearTimeout(idleTimer);
    const slice = (): void => {
      if (store.copy?.holdsStore !== true) tidy(() => store.payUp());
      // While a copy is being made nothing is tidied up; it ends with a turn.
      const isMore = !isCopying() && tidy(() => store.tidyUp()) === true;
      const waitMs = isMore ? 0 : store.owedForMs();
      if (waitMs !== undefined) idleTimer = setTimeout(slice, waitMs);
    };
    idleTimer = setTimeout(slice, store.owedForMs() ?? idleMs);
  };

  port.on("message", (message: ToThread) => {
    inbox.push(message);
    turn();
  });
}

/** Runs what was asked in one lane as one group, and answers it. */
function answer(store: Store, lane: Lane, requests: readonly WaitingRequest[] | undefined): void {
  if (requests === undefined) return;
  const group = store.run(requests, { syncs: lane === "synced" });
  const standings = standingsFrame(group.standings);
  const bytes = group.bytes.join();
  const buffers = bytes === undefined ? [standings.numbers.buffer] : [standings.numbers.buffer, bytes.buffer];
  post({ kind: "answers", lane, answers: group.answers, standings, bytes }, buffers);
}

/** Nobody waits for tidying up: when it fails, for a full disk say, it is tried again after the next requests. */
function tidy<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    post({ kind: "event", level: "warn", event: "storage.tidy_up_failed", fields: { error: String(error) } });
    return undefined;
  }
}

function tellLoss(folder: string, loss: Loss): void {
  const words = lossWords(loss);
  const file = noteDamage(folder, words);
  post({ kind: "event", level: "error", event: "storage.lost", fields: { ...loss, message: words, file } });
}

function tellDamage(folder: string, words: string): void {
  const file = noteDamage(folder, words);
  post({ kind: "event", level: "error", event: "storage.damaged", fields: { message: words, file } });
}

function tellSetAside(folder: string, damaged: DamagedMessages): void {
  const words = setAsideWords(damaged);
  const file = noteDamage(folder, words);
  const fields = { queue: damaged.name ?? damaged.queue, count: damaged.positions.length, message: words, file };
  post({ kind: "event", level: "error", event: "message.damaged", fields });
}

function received(): ToThread | undefined {
  const next: { readonly message: ToThread } | undefined = receiveMessageOnPort(port);
  return next?.message;
}

try {
  const { folder, tuning, shared } = workerData as ThreadStart;
  const { store, damage } = openStore(folder, tuning);
  if (damage !== undefined) tellDamage(folder, damage);
  if (store.lost !== undefined) tellLoss(folder, store.lost);
  post({ kind: "opened" });
  giveMemoryBackWhenQuiet();
  serve(store, folder, Buffer.from(shared));
} catch (error) {
  fail(error);
}
