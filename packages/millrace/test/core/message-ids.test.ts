// Ids of messages, made one after another.

import assert from "node:assert/strict";
import { test } from "node:test";
import { epochMs, makeMessageId, MessageIds, sentAtOf } from "../../src/core/index.ts";

test("ids carry their time and ten random bytes each, however many are made", () => {
  const drawn: Uint8Array[] = [];
  const ids = new MessageIds({
    bytes(count) {
      const bytes = Uint8Array.from({ length: count }, (_, index) => (drawn.length * 97 + index * 31) % 256);
      drawn.push(bytes);
      return bytes;
    },
  });
  const times = Array.from({ length: 2_000 }, (_, index) => epochMs(1_790_000_000_000 + Math.floor(index / 3)));
  const made = times.map((time) => ids.next(time));
  const random = Buffer.concat(drawn);
  for (const [index, id] of made.entries()) {
    const time = times[index] ?? epochMs(0);
    assert.equal(id, makeMessageId(time, random.subarray(index * 10, index * 10 + 10)));
    assert.equal(sentAtOf(id), time);
  }
  assert.ok(drawn.length < made.length / 100, "randomness is drawn for many at once");
});
