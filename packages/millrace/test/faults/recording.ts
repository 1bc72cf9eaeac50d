// A recorded run of the scripted history: every change to the disk, and what was to be seen after each step. From it the files can
// be made as they stood at any moment, opened, and compared.

import { execFile } from "node:child_process";
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, promisify } from "node:util";
import type { EpochMs } from "../../src/core/index.ts";
import { ManualClock } from "../engines/harness.ts";
import { readRecord } from "./disk-record.ts";
import type { DiskChange, DiskImage } from "./disk-record.ts";
import { FaultDisk } from "./fault-disk.ts";
import type { Fault } from "./fault-disk.ts";
import { everythingSeen } from "./history.ts";
import type { Seen } from "./history.ts";
import { openInProcess } from "./in-process-link.ts";
import { tuning } from "./run.ts";

interface OrderBase {
  readonly controlFile: string;
  readonly folder: string;
  readonly cachePages?: number;
  readonly fault?: Fault;
}

/** `untilFailure`: the process is killed after the first step that fails. `afterwards`: another one goes on from there. */
export type RecordOrder =
  | (OrderBase & { readonly part: "whole" | "untilFailure" })
  | (OrderBase & { readonly part: "afterwards"; readonly stepsBefore: readonly StepSeen[] });

export interface StepSeen {
  readonly now: EpochMs;
  /** What may be seen: first what was, then what would be if a step whose outcome is unknown had happened. */
  readonly seen: readonly Seen[];
  /** Why the step failed. */
  readonly failed: string | undefined;
  readonly isSoonOnDisk: boolean;
}

const child = fileURLToPath(new URL("./record-child.ts", import.meta.url));

export class Recording implements AsyncDisposable {
  readonly changes: readonly DiskChange[];
  /** The first is before any step. */
  readonly steps: readonly StepSeen[];
  readonly #disk: FaultDisk;

  private constructor(disk: FaultDisk, steps: readonly StepSeen[]) {
    this.#disk = disk;
    this.steps = steps;
    this.changes = readRecord(readFileSync(disk.recordFile));
  }

  /** The history from its beginning to its end; `fault` is armed when the store is open. */
  static async make(options: { readonly cachePages?: number; readonly fault?: Fault } = {}): Promise<Recording> {
    const disk = await FaultDisk.make();
    const folder = join(disk.folder, "data");
    return new Recording(
      disk,
      await record(disk, { controlFile: disk.controlFile, folder, part: "whole", ...options }),
    );
  }

  /** The history until a step fails. Then the process is killed, and another one opens the data, sends, and is killed as well. */
  static async makeWithRestart(fault: Fault): Promise<Recording> {
    const disk = await FaultDisk.make();
    const base = { controlFile: disk.controlFile, folder: join(disk.folder, "data") };
    const before = await record(disk, { ...base, fault, part: "untilFailure" });
    disk.control.mend();
    const afterwards = await record(disk, { ...base, part: "afterwards", stepsBefore: before });
    return new Recording(disk, [...before, ...afterwards]);
  }

  /** The files as the program left them. */
  file(name: string): Buffer | undefined {
    try {
      return readFileSync(join(this.#disk.folder, "data", name));
    } catch {
      return undefined;
    }
  }

  /**
   * Opens what is left of the files after so many changes, and compares: every step that was answered by then must count, and the
   * one under way may count or not, as a whole. `machineFails`: nor need steps count that may be answered before they are on disk.
   */
  async check(image: DiskImage, changesDone: number, { machineFails = false } = {}): Promise<void> {
    let answered = this.changes[changesDone]?.step ?? this.steps.length - 1;
    const over = answered + 2;
    if (machineFails) while (this.steps[answered]?.isSoonOnDisk === true) answered -= 1;
    const folder = join(this.#disk.folder, "image");
    mkdirSync(folder);
    try {
      image.writeTo(folder);
      const clock = new ManualClock();
      const store = openInProcess(folder, clock, tuning);
      try {
        store.database.exec("PRAGMA synchronous = OFF"); // nothing here is to last
        assert.equal(store.lost, undefined, "nothing that was promised is missed");
        await this.#compare(store.engine, clock, this.steps.slice(answered, over));
      } finally {
        await store.engine[Symbol.asyncDispose]();
      }
    } catch (error) {
      const step = `between steps ${answered} and ${answered + 1}`;
      throw new Error(`after ${changesDone} changes, ${step}: ${String(error)}`, { cause: error });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disk[Symbol.asyncDispose]();
  }

  async #compare(
    engine: Parameters<typeof everythingSeen>[0],
    clock: ManualClock,
    steps: readonly StepSeen[],
  ): Promise<void> {
    let expected: unknown;
    let found: unknown;
    for (const step of steps) {
      clock.advance(step.now - clock.now());
      // As JSON has it, in which `undefined` is absent.
      found = JSON.parse(JSON.stringify(await everythingSeen(engine)));
      if (step.seen.some((each) => isDeepStrictEqual(found, each))) return;
      expected ??= step.seen[0];
    }
    assert.deepEqual(found, expected);
  }
}

async function record(disk: FaultDisk, order: RecordOrder): Promise<StepSeen[]> {
  const environment = disk.environment(`${order.folder}/`, { record: true });
  const run = promisify(execFile)(process.execPath, [child, JSON.stringify(order)], {
    env: environment,
    maxBuffer: 100_000_000,
  });
  const { stdout } = await run.catch((error: unknown) => {
    if (error instanceof Error && "signal" in error && error.signal === "SIGKILL" && "stdout" in error)
      return { stdout: String(error.stdout) };
    throw error;
  });
  return JSON.parse(stdout) as StepSeen[];
}
