// What an engine promises about the catalog: one revision, all or nothing, the audit log, blobs, and room for queues.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isMillraceError } from "../../../src/core/index.ts";
import type { AuditEntry, CatalogChange, CatalogRecord } from "../../../src/core/index.ts";
import type { EngineUnderTest } from "../harness.ts";
import { Harness, texts } from "../harness.ts";

const nothing: Pick<CatalogChange, "operations" | "audit"> = { operations: [], audit: [] };

function record(key: string, value: CatalogRecord["value"], kind = "thing"): CatalogRecord {
  return { kind, key, value };
}

export function catalogConformance(engine: EngineUnderTest): void {
  test(`${engine.name}: a new catalog is empty, at revision 0`, async () => {
    await using harness = await Harness.open(engine);
    assert.deepEqual(await harness.engine.catalog.load(), { revision: 0, records: [] });
  });

  test(`${engine.name}: records are put, replaced in place and deleted; every commit is one revision further`, async () => {
    await using harness = await Harness.open(engine);
    const { catalog } = harness.engine;
    const value = { text: "ünï", list: [1, null, true, { nested: -0.5 }] };
    const first = await catalog.commit({
      ...nothing,
      expectedRevision: 0,
      operations: [
        { kind: "put", record: record("a", value) },
        { kind: "put", record: record("b", 2) },
        { kind: "put", record: record("a", "another kind", "other") },
      ],
    });
    assert.equal(first, 1);
    const second = await catalog.commit({
      ...nothing,
      expectedRevision: 1,
      operations: [
        { kind: "delete", record: { kind: "thing", key: "b" } },
        { kind: "delete", record: { kind: "thing", key: "never there" } },
        { kind: "put", record: record("c", null) },
        { kind: "put", record: record("a", value.list) },
      ],
    });
    assert.equal(second, 2);
    assert.deepEqual(await catalog.load(), {
      revision: 2,
      records: [record("a", value.list), record("a", "another kind", "other"), record("c", null)],
    });
  });

  test(`${engine.name}: of two changes decided on the same revision one wins, and the other changes nothing`, async () => {
    await using harness = await Harness.open(engine);
    const { catalog } = harness.engine;
    const outcomes = await Promise.allSettled(
      ["a", "b"].map(
        async (key) =>
          await catalog.commit({
            expectedRevision: 0,
            operations: [
              { kind: "put", record: record(key, key) },
              { kind: "createQueue", queue: harness.queueId() },
            ],
            audit: [audit(harness, key)],
          }),
      ),
    );
    const lost = outcomes.filter((outcome) => outcome.status === "rejected");
    assert.equal(lost.length, 1);
    assert.ok(isMillraceError(lost[0]?.reason, "CATALOG_CONFLICT"));
    const { revision, records } = await catalog.load();
    assert.equal(revision, 1);
    assert.equal(records.length, 1);
    assert.equal((await catalog.readAudit({ limit: 10 })).length, 1);
    await assert.rejects(catalog.commit({ ...nothing, expectedRevision: 7 }), (error) =>
      isMillraceError(error, "CATALOG_CONFLICT"),
    );
  });

  test(`${engine.name}: a change that cannot be applied whole is not applied at all`, async () => {
    await using harness = await Harness.open(engine);
    const { catalog } = harness.engine;
    const queue = harness.queueId();
    await assert.rejects(
      catalog.commit({
        expectedRevision: 0,
        operations: [
          { kind: "put", record: record("a", 1) },
          { kind: "createQueue", queue },
          { kind: "dropQueue", queue: harness.queueId() },
        ],
        audit: [audit(harness, "x")],
      }),
      (error) => isMillraceError(error, "QUEUE_NOT_FOUND"),
    );
    assert.deepEqual(await catalog.load(), { revision: 0, records: [] });
    assert.deepEqual(await catalog.readAudit({ limit: 10 }), []);
    await assert.rejects(harness.engine.metrics(queue), (error) => isMillraceError(error, "QUEUE_NOT_FOUND"));
  });

  test(`${engine.name}: listeners hear of changes, until they stop listening`, async () => {
    await using harness = await Harness.open(engine);
    const { catalog } = harness.engine;
    const heard: number[] = [];
    const called = Promise.withResolvers<void>();
    const stop = catalog.onChange((revision) => {
      heard.push(revision);
      called.resolve();
    });
    await catalog.commit({ ...nothing, expectedRevision: 0 });
    await called.promise;
    stop();
    await catalog.commit({ ...nothing, expectedRevision: 1 });
    await catalog.load();
    assert.deepEqual(heard, [1]);
  });

  test(`${engine.name}: a queue exists from its creation to its removal, with the messages it holds`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    const neighbour = await harness.queue();
    await harness.send(neighbour, "kept");
    await harness.send(queue, ...texts(50), { body: "delayed", visibleAt: harness.clock.in(1_000) });
    const leased = await harness.leaseOne(queue);
    await harness.dropQueue(queue);
    await assert.rejects(harness.send(queue, "a"), isGone);
    await assert.rejects(harness.settle(queue, [leased, "ack"]), isGone);
    await assert.rejects(harness.dropQueue(queue), isGone);
    assert.deepEqual(await harness.engine.holders(), []);
    assert.deepEqual(
      (await harness.engine.survey()).map((entry) => entry.queue),
      [neighbour],
    );
    await harness.commit([{ kind: "createQueue", queue }]);
    const { backlog, accounting, readiness } = await harness.engine.metrics(queue);
    assert.equal(backlog.count, 0);
    assert.equal(accounting.accepted, 0);
    assert.equal(readiness.ready, 0);
    assert.deepEqual((await harness.settle(queue, [leased, "ack"])).stale, [leased.lease]);
    assert.deepEqual(await harness.stored(neighbour), ["kept"]);
  });

  test(`${engine.name}: a queue made and dropped in one change leaves nothing`, async () => {
    await using harness = await Harness.open(engine);
    const queue = harness.queueId();
    await harness.commit([
      { kind: "createQueue", queue },
      { kind: "dropQueue", queue },
    ]);
    await assert.rejects(harness.engine.metrics(queue), (error) => isMillraceError(error, "QUEUE_NOT_FOUND"));
  });

  test(`${engine.name}: room for a queue is made once`, async () => {
    await using harness = await Harness.open(engine);
    const queue = await harness.queue();
    await assert.rejects(harness.commit([{ kind: "createQueue", queue }]), (error) =>
      isMillraceError(error, "INTERNAL"),
    );
  });

  test(`${engine.name}: the audit log is read newest first, in pages`, async () => {
    await using harness = await Harness.open(engine);
    const { catalog } = harness.engine;
    const entries = texts(5).map((text) => audit(harness, text));
    await catalog.commit({ ...nothing, expectedRevision: 0, audit: entries.slice(0, 2) });
    await catalog.commit({ ...nothing, expectedRevision: 1, audit: entries.slice(2) });
    const newest = await catalog.readAudit({ limit: 2 });
    assert.deepEqual(
      newest.map(({ at, action, actor, resource, details }) => ({ at, action, actor, resource, details })),
      entries.slice(3).toReversed(),
    );
    const older = await catalog.readAudit({ limit: 1_000, before: newest[1]?.number });
    assert.deepEqual(
      older.map(({ resource }) => resource),
      ["m2", "m1", "m0"],
    );
    assert.deepEqual(await catalog.readAudit({ limit: 10, before: older[2]?.number }), []);
  });

  test(`${engine.name}: blobs come back as they went in, and go when nobody keeps them`, async () => {
    await using harness = await Harness.open(engine);
    const { catalog } = harness.engine;
    const large = new Uint8Array(3_000_000).map((_, index) => index % 253);
    await Promise.all([catalog.putBlob("a", new Uint8Array([1, 2, 3])), catalog.putBlob("large", large)]);
    await catalog.putBlob("a", new Uint8Array([1, 2, 3]));
    await catalog.putBlob("empty", new Uint8Array());
    assert.deepEqual(await catalog.getBlob("a").then((bytes) => [...(bytes ?? [])]), [1, 2, 3]);
    assert.ok(Buffer.from(large).equals((await catalog.getBlob("large")) ?? new Uint8Array()));
    assert.equal((await catalog.getBlob("empty"))?.length, 0);
    assert.equal(await catalog.getBlob("none"), undefined);
    assert.equal(await catalog.keepBlobs(new Set(["large", "none"])), 2);
    assert.equal(await catalog.getBlob("a"), undefined);
    assert.equal((await catalog.getBlob("large"))?.length, large.length);
    assert.equal(await catalog.keepBlobs(new Set()), 1);
  });
}

function audit(harness: Harness, resource: string): AuditEntry {
  return {
    at: harness.clock.now(),
    action: "CreateThing",
    actor: "tester",
    resource,
    details: { size: 1, tags: ["a"] },
  };
}

function isGone(error: unknown): boolean {
  return isMillraceError(error, "QUEUE_NOT_FOUND");
}
