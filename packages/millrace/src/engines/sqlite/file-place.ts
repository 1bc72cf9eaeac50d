// Looks whether the database file is still where it was opened. Once it was deleted, moved or replaced, whatever is stored goes to a
// file that nobody finds: so the store stops then, and saves what it has beside the place.

import { existsSync, statSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { MillraceError } from "../../core/index.ts";

export class FilePlace {
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #inode: number | undefined;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#path = database.location() ?? "";
    this.#inode = inodeOf(this.#path);
  }

  /** Throws `DATA_MOVED`. A few microseconds: comes before every group. */
  assertInPlace(): void {
    if (this.#inode === undefined || inodeOf(this.#path) === this.#inode) return;
    const what = `${this.#path} was moved, deleted or replaced while the server ran`;
    throw new MillraceError("DATA_MOVED", `${what}. ${this.#rescue()}`);
  }

  /** All that was stored up to now, from the file that is still open. */
  #rescue(): string {
    let target = `${this.#path}.rescued`;
    for (let number = 2; existsSync(target); number += 1) target = `${this.#path}.rescued-${number}`;
    try {
      this.#database.prepare("VACUUM INTO ?").run(target);
      return `All it held is in ${target}: to go on with that, give it the name ${this.#path}`;
    } catch (error) {
      return `What it held could not be written beside it (${String(error)})`;
    }
  }
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}
