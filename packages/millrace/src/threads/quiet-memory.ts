// Gives a thread's memory back after a load.
//
// V8 keeps the pages of a heap that has shrunk until it sees a low rate of allocation, which it reckons at collections only. A thread
// that goes quiet has none any more: after a quarter of a million pushes a second the server stood at 440 MB for as long as nothing
// came, half of them empty pages. One thorough collection of each thread when it is quiet, and it stands at 230.
// It takes 20 to 60 ms then; with four million live objects 450.

import { performance } from "node:perf_hooks";
import type { EventLoopUtilization } from "node:perf_hooks";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** How long nothing much may happen before it counts as quiet. */
const lookEveryMs = 5_000;
/** Share of its time that a thread works at least under load, and at most when it is quiet. */
const busyShare = 0.2;
const quietShare = 0.05;
/** Bytes; a smaller heap is not worth a collection. */
const worthwhile = 32_000_000;

/** Milliseconds a thread has waited and worked so far, as `performance.eventLoopUtilization()` tells them. */
type Spent = Pick<EventLoopUtilization, "idle" | "active">;

/** Whether it is time to collect, asked at even intervals: in the first quiet one after a load. */
export class QuietWatch {
  #before: Spent;
  #hasWorked = false;

  constructor(now: Spent) {
    this.#before = now;
  }

  /** `bytes`: that the heap takes from the system, used or not. */
  isTime(now: Spent, bytes: number): boolean {
    const active = now.active - this.#before.active;
    const share = active / (active + now.idle - this.#before.idle);
    this.#before = now;
    if (share >= busyShare) this.#hasWorked = true;
    if (share > quietShare || !this.#hasWorked) return false;
    this.#hasWorked = false;
    return bytes >= worthwhile;
  }

  /** What a collection took is no load: that of a large heap would call for the next one, for ever. */
  collected(now: Spent): void {
    this.#before = now;
  }
}

/** Watches the thread it is called in, without keeping that up. */
export function giveMemoryBackWhenQuiet(everyMs = lookEveryMs): Disposable {
  const watch = new QuietWatch(performance.eventLoopUtilization());
  const look = (): void => {
    const { total_heap_size: heap, external_memory: external } = getHeapStatistics();
    if (!watch.isTime(performance.eventLoopUtilization(), heap + external)) return;
    collectThoroughly();
    watch.collected(performance.eventLoopUtilization());
  };
  const timer = setInterval(look, everyMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/**
 * What V8 does before it gives up for lack of memory. Contexts made while the flag is set have the function for it; it is taken back
 * because V8 refuses cached code that was compiled under other flags.
 */
function collectThoroughly(): void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("globalThis.gc") as NodeJS.GCFunction | undefined;
  setFlagsFromString("--no-expose-gc");
  // Missing when another thread took the flag back in between; then the memory stays until after the next load.
  collect?.({ type: "major", flavor: "last-resort", execution: "sync" });
}
