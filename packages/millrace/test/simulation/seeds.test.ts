// Histories that once broke a law, and some hundred fresh ones.

import assert from "node:assert/strict";
import { test } from "node:test";
import { generate } from "./generate.ts";
import { keptHistories } from "./kept-history.ts";
import { simulate } from "./simulation.ts";

const freshHistories = 200;

for (const { title, history } of keptHistories()) {
  test(title, async () => {
    const { violation } = await simulate(history);
    assert.equal(violation?.message, undefined);
  });
}

test(`${freshHistories} fresh histories break no law`, async (t) => {
  const first = Math.floor(Date.now() / 1_000) * 1_000;
  t.diagnostic(`seeds from ${first}`);
  for (let seed = first; seed < first + freshHistories; seed += 1) {
    const { violation } = await simulate(generate(seed));
    assert.equal(
      violation?.message,
      undefined,
      `seed ${seed}; cut it down with: npm run simulate -- --seed ${seed} --histories 1`,
    );
  }
});

test("a seed tells the whole history", async () => {
  const logs = await Promise.all(
    [1, 2].map(async () => {
      const lines: string[] = [];
      await simulate(generate(7), (line) => lines.push(line));
      return lines;
    }),
  );
  assert.deepEqual(logs[0], logs[1]);
});
