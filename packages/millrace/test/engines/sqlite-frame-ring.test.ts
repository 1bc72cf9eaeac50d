// Places in the memory that both threads see: none overlaps another that is in use, and room comes back.

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";
import { FrameRing } from "../../src/engines/sqlite/frame-ring.ts";

const length = 100;

test("places in use never overlap, and whoever gives all back may have all of it again", () => {
  const step = fc.oneof(
    fc.record({ take: fc.integer({ min: 1, max: 60 }), undo: fc.boolean() }),
    fc.constant("free" as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ring = new FrameRing(Buffer.alloc(length));
      const used: { readonly at: number; readonly size: number }[] = [];
      for (const each of steps) {
        if (each === "free") {
          if (used.shift() !== undefined) ring.free();
          continue;
        }
        const at = ring.take(each.take);
        if (at === undefined) {
          assert.ok(used.length > 0, "an empty ring has room");
          continue;
        }
        assert.ok(at >= 0 && at + each.take <= length);
        for (const other of used) assert.ok(at + each.take <= other.at || other.at + other.size <= at);
        if (each.undo) ring.undo(at);
        else used.push({ at, size: each.take });
      }
      for (; used.shift() !== undefined;) ring.free();
      assert.equal(ring.take(length), 0);
    }),
    { numRuns: 2_000 },
  );
});

test("what is larger than the whole has no place", () => {
  const ring = new FrameRing(Buffer.alloc(length));
  assert.equal(ring.take(length + 1), undefined);
  assert.equal(ring.take(length), 0);
  assert.equal(ring.take(1), undefined);
});
