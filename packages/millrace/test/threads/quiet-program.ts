// Works until its heap is large, forgets what it has, and says so once the heap has shrunk: it asks for no memory meanwhile, so that
// V8 has no reason of its own to look.

import { once } from "node:events";
import { setImmediate, setInterval } from "node:timers/promises";
import { getHeapStatistics } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { giveMemoryBackWhenQuiet } from "../../src/threads/index.ts";

const intervalMs = 100;
const enough = 100_000_000;
const heapBytes = (): number => getHeapStatistics().total_heap_size;

async function run(): Promise<void> {
  const watching = giveMemoryBackWhenQuiet(intervalMs);
  const kept: object[] = [];
  const until = performance.now() + 3 * intervalMs;
  while (heapBytes() < enough || performance.now() < until) {
    for (let count = 0; count < 20_000; count += 1) kept[kept.length % 2_000_000] = { count };
    await setImmediate();
  }
  kept.length = 0;
  // A heap tells nobody when it shrinks: it is looked at again and again.
  const looks = setInterval(intervalMs)[Symbol.asyncIterator]();
  while (heapBytes() > enough / 2) await looks.next();
  await looks.return?.();
  watching[Symbol.dispose]();
  console.log(`given back; gc: ${String(runInNewContext("globalThis.gc"))}`);
}

if (process.argv[2] === "another") await once(new Worker(new URL(import.meta.url), { argv: ["this"] }), "exit");
else await run();
