// Messages that share a row are found, deleted and mended one by one.

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";

import fc from "fast-check";
import { epochMs, makeMessageId } from "../../src/core/index.ts";
import { DeadRows } from "../../src/engines/sqlite/dead-rows.ts";
import type { DeadRun } from "../../src/engines/sqlite/dead-rows.ts";
import { LogTable } from "../../src/engines/sqlite/log-table.ts";
import { migrate } from "../../src/engines/sqlite/migrations.ts";
import { isPack, Pack, packBytes, packCount, packMessages } from "../../src/engines/sqlite/pack.ts";
import { readRecord, recordLength, writeRecord } from "../../src/engines/sqlite/record.ts";
import { Query } from "../../src/engines/sqlite/sql.ts";

const now = epochMs(1_800_000_000_000);
const queue = 7;

class Log {
  readonly database = new DatabaseSync(":memory:");
  readonly table: LogTable;
  /** Bodies by position. */
  readonly stored = new Map<number, string>();
  next = 1;

  constructor() {
    migrate(this.database);
    this.table = new LogTable(this.database);
  }

  append(body: string, to = queue): number {
    const position = this.next;
    this.next += 1;
    const random = new Uint8Array(10);
    new DataView(random.buffer).setUint32(6, position);
    const message = {
      id: makeMessageId(now, random),
      sentAt: now,
      contentType: "text",
      body: Buffer.from(body),
      visibleAt: undefined,
    } as const;
    const record = Buffer.alloc(recordLength(message));
    writeRecord(record, 0, message, now);
    this.table.appendMessage({ position, queue: to }, record, 0, record.length);
    this.stored.set(position, body);
    return position;
  }

  rows(): readonly (readonly [position: number, data: Uint8Array])[] {
    this.table.flush();
    return new Query<readonly [number, Uint8Array]>(
      this.database,
      "SELECT position, data FROM log ORDER BY position",
    ).all();
  }

  bodyAt(position: number): string | undefined {
    const [record] = this.table.readRange(position, 1) ?? [];
    return record === undefined ? undefined : textOf(record);
  }
}

const textOf = (record: Buffer): string => Buffer.from(readRecord(record).body).toString();

test("what one queue is sent in a row shares rows, up to their limits", () => {
  const log = new Log();
  for (let count = 0; count < 300; count += 1) log.append("x");
  log.append("to another", 8);
  log.append("x".repeat(packBytes));
  for (let count = 0; count < 20; count += 1) log.append("y".repeat(2_000));
  const counts = log.rows().map(([, data]) => (isPack(data) ? packCount(data) : 1));
  assert.deepEqual(counts, [packMessages, 300 - packMessages, 1, 1, 8, 8, 4]);
  assert.ok(log.rows().every(([, data]) => !isPack(data) || data.length <= packBytes));
  for (const [position, body] of log.stored) {
    const [record] = log.table.readRange(position, 1) ?? [];
    if (position !== 301) assert.equal(record === undefined ? undefined : textOf(record), body);
  }
});

test("any bit of a shared row that flips takes one message at most, and is never read as something else", () => {
  const log = new Log();
  const bodies = ["one", "", "three", "4", "five"];
  for (const body of bodies) log.append(body);
  const [last, data] = log.rows()[0] ?? assert.fail();
  for (let bit = 0; bit < data.length * 8; bit += 1) {
    const flipped = Uint8Array.from(data);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.ok(isPack(flipped));
    const pack = new Pack(flipped, { position: last, queue });
    const read = bodies.map((_, index) => pack.record(index + 1)).map((record) => record && textOf(record));
    const wrong = read.filter((body, index) => body !== bodies[index]);
    assert.ok(wrong.length <= 1 && (wrong.length === 0 || wrong[0] === undefined), `bit ${bit}: ${String(read)}`);
    assert.equal(wrong.length, bit < 32 ? 0 : 1, `bit ${bit}`);
  }
});

test("whatever is deleted in whatever order, the others stay, and in the end no row is left", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat({ max: 6 }), fc.boolean()), { minLength: 1, maxLength: 12 }),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 9 })), { maxLength: 30 }),
      fc.nat({ max: 3 }),
      (sends, deaths, partsKept) => {
        const log = new Log();
        for (const [count, isOther] of sends) {
          for (let index = 0; index < count; index += 1) log.append(`m${log.next}`, isOther ? queue + 1 : queue);
          if (count % 2 === 0) log.table.flush();
        }
        const dead = new DeadRows();
        const living = new Set(log.stored.keys());
        const tidy = (): void => {
          for (const { first, count } of dead.take(100)) dead.putBack(log.table.deleteRange(first, count));
          if (dead.parts <= partsKept) return;
          const gone: DeadRun[] = [];
          for (const first of [...dead.partStarts()].slice(0, 2)) {
            if (first < (gone[0]?.first ?? 0) + (gone[0]?.count ?? 0)) continue; // the same row
            gone.push(log.table.takeOut(first, (position) => dead.has(position)) ?? assert.fail());
          }
          dead.forget(gone);
        };
        const kill = (first: number, count: number): void => {
          for (let position = first; position < Math.min(first + count, log.next); position += 1) {
            if (living.delete(position)) dead.add([{ first: position, count: 1 }]);
          }
        };
        for (const [at, count] of deaths) {
          if (log.next === 1) break;
          kill(1 + (at % (log.next - 1)), count);
          tidy();
          for (const position of living) assert.equal(log.bodyAt(position), log.stored.get(position));
          const seen = [queue, queue + 1].flatMap((each) => [...log.table.recordsOf(each, 0, log.next)]);
          const positions = new Set(seen.map(({ position }) => position));
          for (const position of living) assert.ok(positions.has(position));
          for (const position of positions)
            assert.ok(living.has(position) || dead.has(position), `${position} is back`);
          assert.ok(dead.parts <= partsKept + 2 || dead.count > 0);
        }
        kill(1, log.next);
        while (dead.count > 0) tidy();
        assert.deepEqual([log.rows(), dead.parts], [[], 0]);
      },
    ),
    { numRuns: 300 },
  );
});

test("every way of looking finds the same messages", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.boolean()), { minLength: 1, maxLength: 10 }),
      fc.nat({ max: 40 }),
      (sends, from) => {
        const log = new Log();
        const queues = new Map<number, number>();
        for (const [count, isOther] of sends) {
          for (let index = 0; index < count; index += 1) {
            const to = isOther ? queue + 1 : queue;
            queues.set(log.append(`m${log.next}`, to), to);
          }
          log.table.appendNote(log.next, new Uint8Array(9).fill(log.next));
          log.next += 1;
        }
        const positions = [...log.stored.keys()];
        const behind = positions.filter((position) => position >= from);
        const ids = new Map(positions.map((at) => [at, readRecord(log.table.header(at) ?? assert.fail()).id]));
        assert.deepEqual(
          Array.from(log.table.idsFrom(from), ([position, id]) => [position, Buffer.from(id).toString("hex")]),
          behind.map((position) => [position, ids.get(position)]),
        );
        assert.equal(log.table.messageFrom(from)?.position, behind[0]);
        assert.equal(log.table.firstPosition(), positions[0]);
        const wanted = new Set(
          positions.filter((position) => position % 3 !== 0).map((at) => ids.get(at) ?? assert.fail()),
        );
        assert.deepEqual(
          Array.from(log.table.messagesWith(wanted, queue, from), ({ position }) => position),
          behind.filter((position) => position % 3 !== 0 && queues.get(position) === queue),
        );
        assert.deepEqual(
          Array.from(log.table.recordsOf(queue, from, from + 7), ({ position }) => position),
          behind.filter((position) => position <= from + 7 && queues.get(position) === queue),
        );
        assert.deepEqual(
          Array.from(log.table.notesBehind(from), ([position]) => position),
          Array.from({ length: log.next }, (_, at) => at).filter((at) => at > from && at > 0 && !log.stored.has(at)),
        );
      },
    ),
    { numRuns: 200 },
  );
});
