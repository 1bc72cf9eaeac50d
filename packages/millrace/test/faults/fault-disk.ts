// A disk that fails when told to: compiles fault-disk.c, and tells it through the file that both sides have open.

import { execFile } from "node:child_process";
import { closeSync, openSync, readSync, writeFileSync, writeSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** Kinds of calls, as bits. */
export const operations = { write: 1, sync: 2, truncate: 4, read: 8, open: 16, unlink: 32 } as const;
export const everyChange =
  operations.write | operations.sync | operations.truncate | operations.open | operations.unlink;

/** What becomes of the call that is meant. `short`: half of a write is done. `killTorn`: that, and the process ends. */
const effects = { fail: 0, short: 1, killBefore: 2, killAfter: 3, killTorn: 4 } as const;

/** Linux, all architectures of Node. */
const errors = { EIO: 5, ENOSPC: 28, EROFS: 30 } as const;

export interface Fault {
  /** Bits of `operations`: the calls that count. */
  readonly operations: number;
  /** The first call that fails, from 1 since `arm`. */
  readonly at: number;
  /** The last one. */
  readonly last: number;
  readonly effect: keyof typeof effects;
  readonly error: keyof typeof errors;
}

/** The order of the numbers in the file; fault-disk.c has the same. */
const places = ["operations", "count", "at", "last", "effect", "error", "failed", "skipSync", "step"] as const;
type Place = (typeof places)[number];

/** The controls of a disk; used by whoever has the file, inside or outside of the process that the disk fails. */
export class FaultControl implements Disposable {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, "r+");
  }

  /** From now on calls are counted, from one, and those meant fail. */
  arm({ operations: counted, at, last, effect, error }: Fault): void {
    this.#set("operations", 0);
    this.#set("count", 0);
    this.#set("failed", 0);
    this.#set("at", at);
    this.#set("last", last);
    this.#set("effect", effects[effect]);
    this.#set("error", errors[error]);
    this.#set("operations", counted);
  }

  /** Nothing fails any more; calls are counted on. */
  mend(): void {
    this.#set("at", 0);
  }

  /** Neither counts nor fails what `body` does. */
  async aside<T>(body: () => Promise<T>): Promise<T> {
    const counted = this.#get("operations");
    this.#set("operations", 0);
    try {
      return await body();
    } finally {
      this.#set("operations", counted);
    }
  }

  /** Syncs succeed without the disk's doing anything: for tests in which the power does not really fail. */
  skipSyncs(): void {
    this.#set("skipSync", 1);
  }

  /** Goes with every entry of the record from now on. */
  set step(step: number) {
    this.#set("step", step);
  }

  get count(): number {
    return this.#get("count");
  }

  get failed(): number {
    return this.#get("failed");
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  #set(place: Place, value: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(value));
    writeSync(this.#file, bytes, 0, 8, places.indexOf(place) * 8);
  }

  #get(place: Place): number {
    const bytes = Buffer.alloc(8);
    readSync(this.#file, bytes, 0, 8, places.indexOf(place) * 8);
    return Number(bytes.readBigInt64LE());
  }
}

/** A compiled disk, its controls, and a folder for whatever is tested on it. */
export class FaultDisk implements AsyncDisposable {
  readonly folder: string;
  readonly control: FaultControl;
  /** Where the record is written when `environment` asks for one. */
  readonly recordFile: string;
  readonly #library: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.recordFile = join(folder, "record");
    this.#library = join(folder, "fault-disk.so");
    writeFileSync(this.controlFile, Buffer.alloc(places.length * 8));
    this.control = new FaultControl(this.controlFile);
  }

  static async make(): Promise<FaultDisk> {
    const disk = new FaultDisk(await mkdtemp(join(tmpdir(), "millrace-faults-")));
    const source = fileURLToPath(new URL("./fault-disk.c", import.meta.url));
    await promisify(execFile)("cc", ["-shared", "-fPIC", "-O2", "-o", disk.#library, source, "-ldl", "-lpthread"]);
    return disk;
  }

  get controlFile(): string {
    return join(this.folder, "control");
  }

  /** What a process needs to run on this disk: files whose path contains `path` are meant. */
  environment(path: string, options: { readonly record?: boolean } = {}): NodeJS.ProcessEnv {
    return {
      ...process.env,
      LD_PRELOAD: this.#library,
      MILLRACE_FAULT_PATH: path,
      MILLRACE_FAULT_CONTROL: this.controlFile,
      ...(options.record === true && { MILLRACE_FAULT_RECORD: this.recordFile }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.control[Symbol.dispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Why there can be no such disk on this machine; `undefined` when there can. */
export async function whyNoFaultDisk(): Promise<string | undefined> {
  if (process.platform !== "linux") return "failing disks are made with LD_PRELOAD and /proc, on Linux";
  try {
    await promisify(execFile)("cc", ["--version"]);
    return undefined;
  } catch {
    return "failing disks need a C compiler, and there is no cc on this machine";
  }
}
