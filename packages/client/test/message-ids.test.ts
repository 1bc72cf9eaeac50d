// Ids that the client gives to messages.

import assert from "node:assert/strict";
import { test } from "node:test";
import { messageIdMaker } from "../src/message-ids.ts";

/** Other bytes at each draw. */
function counted(): (count: number) => Uint8Array {
  let draws = 0;
  return (count) => new Uint8Array(count).fill((draws += 1));
}

const at = (now: () => number): Parameters<typeof messageIdMaker>[0] => ({ now, after: () => () => undefined });

test("an id is 32 hex digits: the time, random bits, and a number within the millisecond", () => {
  let now = 0x19a_0000_0000;
  const make = messageIdMaker(
    at(() => now),
    counted(),
  );
  assert.equal(make(), "019a0000000001010101010101010000");
  assert.equal(make(), "019a0000000001010101010101010001");
  now += 1;
  assert.equal(make(), "019a0000000102020202020202020000");
});

test("a clock that is set back to a millisecond it had before gives other ids", () => {
  let now = 1_000;
  const make = messageIdMaker(
    at(() => now),
    counted(),
  );
  const ids = new Set([make(), make()]);
  now = 999;
  ids.add(make());
  now = 1_000;
  ids.add(make()).add(make());
  assert.equal(ids.size, 5);
});

test("more messages in a millisecond than there are numbers get ids of their own", () => {
  const make = messageIdMaker(
    at(() => 1_000),
    counted(),
  );
  const ids = new Set(Array.from({ length: 150_000 }, make));
  assert.equal(ids.size, 150_000);
  assert.ok([...ids].every((id) => /^[0-9a-f]{32}$/.test(id)));
});
