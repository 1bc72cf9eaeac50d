// Backups of a running server: written beside the data, fetched by a client, then deleted. One at a time.
//
// A backup is `copying`, then `ready` to be fetched or `failed`. It is forgotten, and its file deleted, when its client says so, when
// a new one is begun, when nobody has asked for it for ten minutes, and when the server stops or starts.

import { createReadStream, statfsSync } from "node:fs";
import type { ReadStream } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { after, isMillraceError, MillraceError, minutes, toHex } from "../core/index.ts";
import type { BackupProgress, Clock, EpochMs, Logger, Random, StorageEngine, Timers } from "../core/index.ts";

export interface BackupStatus {
  /** 32 hex digits. */
  readonly id: string;
  readonly startedAt: EpochMs;
  readonly state: "copying" | "ready" | "failed";
  readonly copiedBytes: number;
  /** 0: not known yet. */
  readonly totalBytes: number;
  /** Why it failed. */
  readonly error: string | undefined;
}

export interface BackupsDependencies {
  readonly engine: StorageEngine;
  /** Made when needed, and emptied at the start: nobody else keeps anything there. */
  readonly folder: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  /** What the disk of a folder has left; given by tests only. */
  readonly freeBytes?: (folder: string) => number;
}

interface Backup {
  status: BackupStatus;
  readonly file: string;
  /** Told to give up copying. */
  isUnwanted: boolean;
  readers: number;
  lastAskedAt: EpochMs;
  done: Promise<void>;
}

const keptUnasked = minutes(10);
const lookEvery = minutes(1);
/** What sends may use of the disk while a backup is written: a full disk would refuse them. */
const reservedBytes = 64_000_000;

export class Backups implements AsyncDisposable {
  readonly #dependencies: BackupsDependencies;
  #current: Backup | undefined;
  /** Ends when everything forgotten so far is deleted. */
  #deleted: Promise<unknown> = Promise.resolve();
  #timer: { cancel(): void } | undefined;
  #stopped = false;

  private constructor(dependencies: BackupsDependencies) {
    this.#dependencies = dependencies;
  }

  /** Deletes what a server that was killed left behind. */
  static async open(dependencies: BackupsDependencies): Promise<Backups> {
    await rm(dependencies.folder, { recursive: true, force: true });
    return new Backups(dependencies);
  }

  /**
   * Begins a backup; `actor` is who wants it, for the log. Throws `UNSUPPORTED` where the engine has none, and `BACKUP_RUNNING`
   * while one is being written or fetched.
   */
  async start(actor: string): Promise<BackupStatus> {
    const { engine, clock, random, folder } = this.#dependencies;
    if (this.#stopped) throw new MillraceError("ENGINE_CLOSED", "The server is stopping");
    if (!engine.capabilities.backup) {
      throw new MillraceError("UNSUPPORTED", `The ${engine.name} engine makes no backups of its own`);
    }
    const before = this.#current;
    if (before !== undefined && (before.status.state === "copying" || before.readers > 0)) {
      throw new MillraceError("BACKUP_RUNNING", `Backup ${before.status.id} is still being made or fetched`);
    }
    const id = toHex(random.bytes(16));
    const startedAt = clock.now();
    const backup: Backup = {
      status: { id, startedAt, state: "copying", copiedBytes: 0, totalBytes: 0, error: undefined },
      file: join(folder, `${id}.db`),
      isUnwanted: false,
      readers: 0,
      lastAskedAt: startedAt,
      done: Promise.resolve(),
    };
    this.#current = backup;
    backup.done = this.#write(backup, actor);
    if (before !== undefined) await this.#forget(before);
    this.#watch();
    return backup.status;
  }

  /** Throws `BACKUP_NOT_FOUND`. */
  status(id: string): BackupStatus {
    return this.#existing(id).status;
  }

  /** The file, to be read from start to end. Throws `BACKUP_NOT_FOUND`, also while it is not ready. */
  async read(id: string): Promise<{ readonly stream: ReadStream; readonly bytes: number }> {
    const backup = this.#existing(id);
    const { state } = backup.status;
    if (state !== "ready") throw new MillraceError("BACKUP_NOT_FOUND", `Backup ${id} is not ready: it is ${state}`);
    const { size: bytes } = await stat(backup.file);
    const stream = createReadStream(backup.file, { highWaterMark: 1_048_576 });
    backup.readers += 1;
    stream.once("close", () => {
      backup.readers -= 1;
      backup.lastAskedAt = this.#dependencies.clock.now();
    });
    return { stream, bytes };
  }

  /** Deletes a backup, or gives up one that is being made. Throws `BACKUP_NOT_FOUND`. */
  async discard(id: string): Promise<void> {
    await this.#forget(this.#existing(id));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    if (this.#current !== undefined) void this.#forget(this.#current); // awaited with all others
    await this.#deleted;
  }

  #existing(id: string): Backup {
    const backup = this.#current;
    if (backup?.status.id !== id) throw new MillraceError("BACKUP_NOT_FOUND", `There is no backup ${id.slice(0, 60)}`);
    backup.lastAskedAt = this.#dependencies.clock.now();
    return backup;
  }

  async #forget(backup: Backup): Promise<void> {
    backup.isUnwanted = true;
    if (this.#current === backup) this.#current = undefined;
    const deleted = this.#delete(backup);
    this.#deleted = Promise.all([this.#deleted, deleted]);
    await deleted;
  }

  /** Never rejects: the next start of a server deletes what is left. */
  async #delete({ file, done }: Backup): Promise<void> {
    await done;
    try {
      await rm(file, { force: true });
    } catch (error) {
      this.#dependencies.logger.warn("backup.delete_failed", { file, error: String(error) });
    }
  }

  /** Never rejects. */
  async #write(backup: Backup, actor: string): Promise<void> {
    const { engine, folder, clock, logger, freeBytes = freeOnDisk } = this.#dependencies;
    let lack: string | undefined;
    const proceed = (progress: BackupProgress): boolean => {
      backup.status = { ...backup.status, ...progress };
      lack = lackOfRoom(freeBytes(folder), progress);
      return lack === undefined && !backup.isUnwanted;
    };
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const isWhole = await engine.backup(backup.file, proceed);
      if (!isWhole)
        throw new MillraceError(lack === undefined ? "UNAVAILABLE" : "STORAGE_FULL", lack ?? "It was given up");
      const { size: bytes } = await stat(backup.file);
      backup.status = { ...backup.status, state: "ready", copiedBytes: bytes, totalBytes: bytes };
      logger.info("backup.made", { actor, bytes, ms: clock.now() - backup.status.startedAt });
    } catch (error) {
      const words = isMillraceError(error) ? error.message : String(error);
      backup.status = { ...backup.status, state: "failed", error: words };
      if (!backup.isUnwanted) logger.warn("backup.failed", { actor, error: words });
    }
  }

  /** Looks now and then whether anybody still wants the newest backup. */
  #watch(): void {
    this.#timer?.cancel();
    if (this.#stopped) return;
    const { clock, timers } = this.#dependencies;
    this.#timer = timers.at(after(clock.now(), lookEvery), () => {
      const backup = this.#current;
      if (backup === undefined) return;
      if (backup.readers === 0 && clock.now() >= after(backup.lastAskedAt, keptUnasked)) void this.#forget(backup);
      else this.#watch();
    });
  }
}

/** In words, when the disk has not room for the rest of the copy and for what is sent meanwhile. */
function lackOfRoom(free: number, { copiedBytes, totalBytes }: BackupProgress): string | undefined {
  const needed = totalBytes - copiedBytes + reservedBytes;
  if (free >= needed) return undefined;
  return `A backup is written beside the data first and needs ${needed} bytes there; ${free} are free`;
}

function freeOnDisk(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
