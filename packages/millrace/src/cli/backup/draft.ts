// A file that gets its name only when it is whole and on disk, so that nobody ever finds half of it there.

import { constants, rmSync } from "node:fs";
import { access, copyFile, link, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { CommandFailure, usageFailure } from "../command-failure.ts";

/** Of files that belong to a database. */
const suffixes = ["", "-wal", "-shm", "-journal"] as const;
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export class Draft implements AsyncDisposable {
  /** Where it is written. */
  readonly path: string;
  readonly #file: string;
  readonly #overwrites: boolean;

  private constructor(file: string, overwrites: boolean) {
    this.#file = file;
    this.#overwrites = overwrites;
    this.path = `${file}.${process.pid}.draft`;
    for (const signal of signals) process.once(signal, this.#onSignal);
  }

  /** Ctrl+C, and the like: the process ends by it, as it would without us, but leaves nothing behind. */
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    for (const suffix of suffixes) rmSync(this.path + suffix, { force: true });
    this.#letSignalsBe();
    process.kill(process.pid, signal);
  };

  /** Fails at once when the name is taken, unless what has it may be overwritten. */
  static async of(file: string, options: { readonly overwrites: boolean }): Promise<Draft> {
    if (!options.overwrites && (await exists(file))) throw taken(file);
    if (!(await exists(dirname(file)))) throw new CommandFailure(`there is no folder ${dirname(file)}.`);
    const draft = new Draft(file, options.overwrites);
    await rm(draft.path, { force: true }); // of a process of the same number that was killed
    return draft;
  }

  /** Brings what was written to disk and gives it its name. */
  async publish(): Promise<void> {
    await sync(this.path);
    if (this.#overwrites) await rename(this.path, this.#file);
    else await this.#claim();
    await sync(dirname(this.#file));
  }

  /** Deletes what was not published. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#letSignalsBe();
    for (const suffix of suffixes) await rm(this.path + suffix, { force: true });
  }

  #letSignalsBe(): void {
    for (const signal of signals) process.off(signal, this.#onSignal);
  }

  /** Somebody may have taken the name meanwhile; a link fails then, where a rename would overwrite. */
  async #claim(): Promise<void> {
    try {
      await link(this.path, this.#file);
    } catch (error) {
      if (codeOf(error) === "EEXIST") throw taken(this.#file);
      await copyFile(this.path, this.#file, constants.COPYFILE_EXCL); // a file system without links
      await sync(this.#file);
    }
  }
}

const taken = (file: string): Error =>
  usageFailure(`${file} exists already. Choose another name, or overwrite it with --force.`);

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw error;
  }
}

/** Brings a file, or the names in a folder, to disk. */
export async function sync(path: string): Promise<void> {
  try {
    await using handle = await open(path, "r");
    await handle.sync();
  } catch (error) {
    // Windows opens no folders, and needs nothing of the kind.
    if (process.platform !== "win32") throw error;
  }
}

const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined);
