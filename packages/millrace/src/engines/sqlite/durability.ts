// Knows what of the write-ahead log is on disk, and what was promised.
//
// A commit that must be synced is answered after the sync. If that fails nothing was promised, and the next commit writes to the
// same place. But a commit before it that was not to be synced by itself (deleting dead rows) went the way of the failed sync:
// the kernel forgets what it could not write, later syncs succeed, and when the power fails the log ends at the gap. So after a
// failed sync such a log is written again before anything else is. And since the process may end before that, the promise file
// says so to the one that opens the data next. Nor is all synced that a killed process left behind: opening syncs it, before
// anything is promised on top of it.

import { closeSync, existsSync, fdatasyncSync, openSync } from "node:fs";
import { MillraceError } from "../../core/index.ts";
import type { Promised, PromiseFile } from "./promise-file.ts";
import { writeAgain } from "./write-again.ts";

type Progress = Omit<Promised, "isDoubtful">;

export class Durability {
  readonly #walPath: string;
  readonly #promises: PromiseFile | undefined;
  /** How far it has come, and how far of that is promised. */
  #progress: Progress = { position: 0, nextBatch: 0, revision: 0 };
  #promised: Progress = this.#progress;
  /** Commits stand in the log that no sync has followed. */
  #hasUnsynced = false;
  #isDoubtful = false;

  constructor(walPath: string, promises: PromiseFile | undefined) {
    this.#walPath = walPath;
    this.#promises = promises;
  }

  /** What the last store promised. */
  get before(): Promised | undefined {
    return this.#promises?.before;
  }

  /** The data was opened, and this is how far it has come. */
  opened(progress: Progress): void {
    this.#progress = progress;
    this.#promised = progress;
    if (this.before?.isDoubtful === true || !this.#syncsLog()) {
      this.#hasUnsynced = true;
      this.#isDoubtful = true;
      this.makeGood();
    }
    this.#write();
  }

  /** Comes before whatever relies on the log. Throws `UNAVAILABLE` and `STORAGE_FULL`; nothing happened then. */
  makeGood(): void {
    if (!this.#isDoubtful || !this.#hasUnsynced) return;
    try {
      if (existsSync(this.#walPath)) writeAgain(this.#walPath);
    } catch (error) {
      const isFull = error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
      const detail = "What the disk could not write before cannot be written now either";
      throw new MillraceError(isFull ? "STORAGE_FULL" : "UNAVAILABLE", detail, { cause: error });
    }
    this.#hasUnsynced = false;
  }

  /** Answers whether everything so far is on disk now. */
  committed(progress: Progress, syncs: boolean): boolean {
    const { position, nextBatch, revision } = this.#progress;
    const hasWritten =
      position !== progress.position || nextBatch !== progress.nextBatch || revision !== progress.revision;
    this.#progress = progress;
    if (!syncs) this.#hasUnsynced = true;
    if (!syncs || !hasWritten) return false; // a transaction that only read syncs nothing
    this.#hasUnsynced = false;
    this.#isDoubtful = false;
    this.#promised = progress;
    this.#write();
    return true;
  }

  /** A commit or a checkpoint failed at the disk. */
  failed(): void {
    this.#isDoubtful = true;
    this.#write();
  }

  close(): void {
    this.#promises?.close();
  }

  /** A process that was killed may have left commits that no sync had followed. Answers false when the disk fails. */
  #syncsLog(): boolean {
    if (!existsSync(this.#walPath)) return true;
    const file = openSync(this.#walPath, "r+");
    try {
      fdatasyncSync(file);
      return true;
    } catch {
      return false;
    } finally {
      closeSync(file);
    }
  }

  #write(): void {
    this.#promises?.write({ ...this.#promised, isDoubtful: this.#isDoubtful });
  }
}
