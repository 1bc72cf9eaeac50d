// Histories that once broke a law, and some hundred fresh ones.

import assert from "node:assert/strict";
import { test } from "node:test";
import { generate } from "./generate.ts";
import { keptHistories } from "./kept-history.ts";
import { simulate } from "./simulation.ts";

/** As many as a slow machine runs in a few seconds, but no fewer than the least. */
const freshHistories = { least: 60, most: 300, withinMs: 6_000 };

for (const { title, history } of keptHistories()) {
  test(title, async () => {
    const { violation } = await simulate(history);
    assert.equal(violation?.message, undefined);
  });
}

test("fresh histories break no law", async (t) => {
  const first = Math.floor(Date.now() / 1_000) * 1_000;
  const until = performance.now() + freshHistories.withinMs;
  let done = 0;
  while (done < freshHistories.most && (done < freshHistories.least || performance.now() < until)) {
    const seed = first + done;
    const { violation } = await simulate(generate(seed));
    const next = `seed ${seed}; cut it down with: npm run simulate -- --seed ${seed} --histories 1`;
    assert.equal(violation?.message, undefined, next);
    done += 1;
  }
  t.diagnostic(`${done} histories, seeds from ${first}`);
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
