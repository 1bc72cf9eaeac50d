// The way to a store without a thread between, so that a history does the same things to the disk in the same order every time.

import type { DatabaseSync } from "node:sqlite";
import { MillraceError } from "../../src/core/index.ts";
import type { Clock, StorageEngine } from "../../src/core/index.ts";
import { sqliteEngineOn } from "../../src/engines/sqlite/engine.ts";
import type { Tuning } from "../../src/engines/sqlite/ledger.ts";
import { openStore } from "../../src/engines/sqlite/opening.ts";
import { done, laneOf } from "../../src/engines/sqlite/protocol.ts";
import { readSendFrame } from "../../src/engines/sqlite/send-frame.ts";
import { readStandings, standingsFrame } from "../../src/engines/sqlite/standings-frame.ts";
import type { Loss, Store, WaitingRequest } from "../../src/engines/sqlite/store.ts";
import type { AnsweredRequest, StoreLink } from "../../src/engines/sqlite/thread-link.ts";

export interface InProcessEngine {
  readonly engine: StorageEngine;
  readonly database: DatabaseSync;
  /** What had been promised and was not there. */
  readonly lost: Loss | undefined;
  /** What was damaged, and what became of it. */
  readonly damage: string | undefined;
  /** What was set aside since this was asked last. */
  takeDamaged(): ReturnType<Store["takeDamaged"]>;
  /** All that the thread would do while it is idle. */
  tidyUp(): void;
  /** What made the store give up, if anything did. */
  readonly broken: unknown;
}

/** Throws what opening throws. `cachePages`: few of them make the store read and write more. */
export function openInProcess(folder: string, clock: Clock, tuning: Tuning, cachePages?: number): InProcessEngine {
  const { store, database, damage } = openStore(folder, tuning, cachePages);
  const link = new InProcessLink(store);
  return {
    engine: sqliteEngineOn(link, clock),
    database,
    lost: store.lost,
    damage,
    takeDamaged: () => store.takeDamaged(),
    tidyUp: () => link.tidyUp(),
    get broken() {
      return link.broken;
    },
  };
}

class InProcessLink implements StoreLink {
  readonly #store: Store;
  broken: unknown;

  constructor(store: Store) {
    this.#store = store;
  }

  assertOpen(): void {
    if (this.broken !== undefined) throw new MillraceError("UNAVAILABLE", "The storage engine failed");
  }

  async send(size: number, write: (buffer: Buffer, at: number) => undefined): Promise<AnsweredRequest> {
    const bytes = Buffer.alloc(size);
    write(bytes, 0);
    const { frame } = readSendFrame(bytes, 0);
    return this.#run({ request: { op: "send", ...frame }, bytes });
  }

  async ask(
    size: number,
    write: (buffer: Buffer, at: number) => Exclude<WaitingRequest["request"], { readonly op: "send" }>,
  ): Promise<AnsweredRequest> {
    const bytes = Buffer.alloc(size);
    return this.#run({ request: write(bytes, 0), bytes });
  }

  async askLast(write: Parameters<InProcessLink["ask"]>[1]): Promise<AnsweredRequest> {
    return await this.ask(0, write);
  }

  async close(): Promise<void> {
    this.#store.close();
  }

  tidyUp(): void {
    // More slices than any history here needs: one that never ends would be a defect.
    for (let slices = 0; slices < 100; slices += 1) if (!this.#store.tidyUp()) return;
    throw new Error("tidying up does not end");
  }

  #run(request: WaitingRequest): AnsweredRequest {
    this.assertOpen();
    let group: ReturnType<Store["run"]>;
    try {
      group = this.#store.run([request], { syncs: laneOf(request.request) === "synced" });
    } catch (error) {
      this.broken = error;
      throw new MillraceError("UNKNOWN_OUTCOME", "The storage engine failed", { cause: error });
    }
    try {
      this.#store.keepUp();
    } catch {
      // The thread tells and goes on.
    }
    const standings = readStandings(standingsFrame(group.standings));
    const byQueue = new Map(standings.map((standing) => [standing.queue as string, standing]));
    const bytes = Buffer.from(group.bytes.join() ?? []);
    const [answer = done] = group.answers;
    if (answer === done) return { result: undefined, standings: byQueue, bytes };
    if ("failure" in answer) throw new MillraceError(answer.failure.code, answer.failure.detail);
    return { result: answer.result, standings: byQueue, bytes };
  }
}
