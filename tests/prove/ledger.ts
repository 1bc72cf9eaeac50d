// The book outside: facts are on disk before whoever reports them goes on.

import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { createReadStream } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import type { Fact, RecordedFact } from "./facts.ts";

/** Milliseconds since the Unix epoch, from a clock that never goes back. */
export const now = (): number => performance.timeOrigin + performance.now();

export class Ledger implements AsyncDisposable {
  readonly path: string;
  readonly #file: FileHandle;
  #lines: string[] = [];
  #writing: Promise<void> | undefined;
  /** What the next sync will cover. */
  #next = Promise.withResolvers<void>();
  #isClosed = false;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  static async open(path: string): Promise<Ledger> {
    const file = await open(path, "ax", 0o600);
    // The name of the file has to survive too.
    const folder = await open(dirname(path));
    await folder.sync();
    await folder.close();
    return new Ledger(path, file);
  }

  /** Resolves when the fact, and everything before it, is on disk. Facts keep the order of the calls. */
  async write(fact: Fact): Promise<void> {
    if (this.#isClosed) throw new Error(`the ledger is closed; ${fact.kind} came too late`);
    this.#lines.push(`${JSON.stringify({ at: Number(now().toFixed(3)), ...fact })}\n`);
    const { promise } = this.#next;
    this.#writing ??= this.#writeAll();
    await promise;
  }

  /** The same, for what nobody waits for: it is on disk before anything that is written later. */
  note(fact: Fact): void {
    // A ledger that cannot be written ends the run: nothing it proves would hold.
    void this.write(fact);
  }

  /** Writes what waits, in groups: one sync for all that came meanwhile. */
  async #writeAll(): Promise<void> {
    while (this.#lines.length > 0) {
      const lines = this.#lines;
      const { resolve, reject } = this.#next;
      this.#lines = [];
      this.#next = Promise.withResolvers<void>();
      try {
        await this.#file.appendFile(lines.join(""));
        await this.#file.datasync();
        resolve();
      } catch (error) {
        reject(error);
        throw error;
      }
    }
    this.#writing = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#writing;
    await this.#file.close();
  }
}

/** Everything in a ledger, in order. Throws on a line that cannot be read, unless it is the last and was cut short. */
export async function readLedger(path: string): Promise<RecordedFact[]> {
  const facts: RecordedFact[] = [];
  let broken: string | undefined;
  for await (const line of createInterface({ input: createReadStream(path, "utf8") })) {
    if (broken !== undefined) throw new Error(`the ledger ${path} has a line that cannot be read: ${broken}`);
    try {
      facts.push(JSON.parse(line) as RecordedFact);
    } catch {
      broken = line.slice(0, 200);
    }
  }
  return facts;
}
