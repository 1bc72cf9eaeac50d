import assert from "node:assert/strict";
import { mkdtemp, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { Backups } from "../../src/broker/index.ts";
import type { BackupStatus } from "../../src/broker/index.ts";
import { isMillraceError, minutes } from "../../src/core/index.ts";
import type { ErrorCode, LogFields, Logger, StorageEngine } from "../../src/core/index.ts";
import { openMemoryEngine } from "../../src/engines/memory/index.ts";
import { openTemporarySqlite } from "../engines/sqlite-harness.ts";
import { SimulatedTime } from "../support/simulated-time.ts";

/** A log on which a test waits for the next event. */
class Log implements Logger {
  readonly #waiting: ((event: string) => void)[] = [];
  readonly debug = (): void => undefined;
  readonly error = (): void => undefined;
  readonly info = (event: string, _fields?: LogFields): void => this.#tell(event);
  readonly warn = (event: string, _fields?: LogFields): void => this.#tell(event);

  async next(): Promise<string> {
    return await new Promise((resolve) => this.#waiting.push(resolve));
  }

  #tell(event: string): void {
    for (const resolve of this.#waiting.splice(0)) resolve(event);
  }
}

class Workshop implements AsyncDisposable {
  readonly time: SimulatedTime;
  readonly engine: StorageEngine;
  readonly folder: string;
  readonly backups: Backups;
  readonly #log: Log;
  readonly #disk: { free: number };

  private constructor(
    parts: Pick<Workshop, "time" | "engine" | "folder" | "backups">,
    log: Log,
    disk: { free: number },
  ) {
    this.time = parts.time;
    this.engine = parts.engine;
    this.folder = parts.folder;
    this.backups = parts.backups;
    this.#log = log;
    this.#disk = disk;
  }

  static async open(openEngine: (clock: SimulatedTime) => Promise<StorageEngine>): Promise<Workshop> {
    const time = new SimulatedTime();
    const engine = await openEngine(time);
    const folder = join(await mkdtemp(join(tmpdir(), "millrace-backups-")), "backup");
    await mkdir(folder);
    await writeFile(join(folder, "left-behind.db"), "by a server that was killed");
    const random = { bytes: (count: number) => crypto.getRandomValues(new Uint8Array(count)) };
    const [log, disk] = [new Log(), { free: 1e12 }];
    const dependencies = { engine, folder, clock: time, timers: time, random, logger: log };
    const backups = await Backups.open({ ...dependencies, freeBytes: () => disk.free });
    return new Workshop({ time, engine, folder, backups }, log, disk);
  }

  /** Begins a backup and waits until it is ready or has failed. */
  async make(): Promise<BackupStatus> {
    const over = this.#log.next();
    const { id } = await this.backups.start("ada");
    await over;
    return this.backups.status(id);
  }

  fillDisk(): void {
    this.#disk.free = 1_000;
  }

  async files(): Promise<string[]> {
    return await readdir(this.folder).catch(() => []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.backups[Symbol.asyncDispose]();
    await this.engine[Symbol.asyncDispose]();
    await rm(join(this.folder, ".."), { recursive: true, force: true });
  }
}

const code =
  (expected: ErrorCode) =>
  (error: unknown): boolean =>
    isMillraceError(error, expected);

test("a backup is made, read as often as wanted, and deleted", async () => {
  await using workshop = await Workshop.open(openTemporarySqlite);
  const { backups } = workshop;
  assert.deepEqual(await workshop.files(), [], "what a killed server left is gone");
  const { id, state, copiedBytes, totalBytes } = await workshop.make();
  assert.deepEqual([state, copiedBytes], ["ready", totalBytes]);
  for (let reading = 0; reading < 2; reading += 1) {
    const { stream, bytes } = await backups.read(id);
    const content = await buffer(stream);
    assert.deepEqual([content.length, content.toString("latin1", 0, 15)], [bytes, "SQLite format 3"]);
  }
  await backups.discard(id);
  assert.deepEqual(await workshop.files(), []);
  assert.throws(() => backups.status(id), code("BACKUP_NOT_FOUND"));
  await assert.rejects(backups.read(id), code("BACKUP_NOT_FOUND"));
});

test("one backup at a time: a new one takes the place of one that nobody reads", async () => {
  await using workshop = await Workshop.open(openTemporarySqlite);
  const { backups } = workshop;
  const { id: first } = await backups.start("ada");
  await assert.rejects(backups.start("bob"), code("BACKUP_RUNNING"));
  await assert.rejects(backups.read(first), code("BACKUP_NOT_FOUND"));
  await backups.discard(first);
  const second = await workshop.make();
  const { stream } = await backups.read(second.id);
  await assert.rejects(backups.start("bob"), code("BACKUP_RUNNING"));
  await buffer(stream);
  const third = await workshop.make();
  assert.deepEqual(await workshop.files(), [`${third.id}.db`]);
});

test("a backup that nobody asks for is deleted after ten minutes", async () => {
  await using workshop = await Workshop.open(openTemporarySqlite);
  const { id } = await workshop.make();
  await workshop.time.advance(minutes(9));
  assert.equal(workshop.backups.status(id).state, "ready");
  await workshop.time.advance(minutes(9));
  assert.equal(workshop.backups.status(id).state, "ready");
  await workshop.time.advance(minutes(12));
  assert.throws(() => workshop.backups.status(id), code("BACKUP_NOT_FOUND"));
  await workshop.backups[Symbol.asyncDispose]();
  assert.deepEqual(await workshop.files(), []);
});

test("a backup does not fill the disk that messages need", async () => {
  await using workshop = await Workshop.open(openTemporarySqlite);
  workshop.fillDisk();
  const { state, error } = await workshop.make();
  assert.equal(state, "failed");
  assert.match(
    error ?? "",
    /^A backup is written beside the data first and needs \d+ bytes there; 1000 are free \(STORAGE_FULL\)/,
  );
  assert.deepEqual(await workshop.files(), []);
});

test("a server that stops gives up the backup it makes and leaves nothing", async () => {
  await using workshop = await Workshop.open(openTemporarySqlite);
  await workshop.backups.start("ada");
  await workshop.backups[Symbol.asyncDispose]();
  assert.deepEqual(await workshop.files(), []);
  await assert.rejects(workshop.backups.start("ada"), code("ENGINE_CLOSED"));
});

test("an engine that makes no backups says so", async () => {
  await using workshop = await Workshop.open(async (clock) => await openMemoryEngine({ clock }));
  await assert.rejects(workshop.backups.start("ada"), code("UNSUPPORTED"));
});
