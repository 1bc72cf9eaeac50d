// Bare append+fdatasync in a thread of its own, asked by another: what a program pays that does not stand still for the disk.

import { once } from "node:events";
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { AppendCount } from "../../packages/millrace/src/cli/bench/raw-append.ts";
import type { AppendPlan, AppendResult } from "../../packages/millrace/src/cli/bench/raw-append.ts";

/** One group after the other, each handed over and answered when it is on disk. */
export async function appendInThread(plan: AppendPlan): Promise<AppendResult> {
  const path = join(plan.folder, `thread-append-${process.pid}`);
  const thread = new Worker(new URL(import.meta.url), { workerData: path });
  try {
    const count = new AppendCount(plan);
    while (!count.isOver) {
      const answered = once(thread, "message");
      thread.postMessage(count.records, []);
      await answered;
      count.add();
    }
    return count.result();
  } finally {
    thread.postMessage(undefined, []);
    await once(thread, "exit");
  }
}

function serve(port: NonNullable<typeof parentPort>, path: string): void {
  const file = openSync(path, "w", 0o600);
  port.on("message", (records: Uint8Array | undefined) => {
    if (records === undefined) {
      closeSync(file);
      rmSync(path, { force: true });
      port.close();
      return;
    }
    writeSync(file, records);
    fdatasyncSync(file);
    port.postMessage(undefined);
  });
}

if (!isMainThread && parentPort !== null) serve(parentPort, workerData as string);
