// The crash loop itself, short: a handful of kills of the real server and real workerd.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { crashLoop, ledgerOf } from "../crash-loop.ts";
import { readLedger } from "../ledger.ts";
import { judge } from "../verify/verdict.ts";

test("nothing acknowledged is lost and every duplicate has a cause, whatever is killed", async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-prove-"));
  const progress = (line: string): void => console.error(line); // shown when it fails
  await crashLoop({ seed: 4, kills: 5, folder, redeliveryRounds: 1, progress });
  const verdict = judge(await readLedger(ledgerOf(folder)));
  assert.deepEqual(verdict.problems, [], `data, server log and ledger: ${folder}`);
  assert.equal(verdict.kills, 5);
  assert.ok(verdict.fates.acked > 0);
  assert.ok(verdict.fates.deadLettered > 0);
  assert.deepEqual(
    verdict.times.aloneDeathToRedelivery.map((times) => times.length),
    [1, 1, 1],
    "what a dying Worker has comes back every time",
  );
  await rm(folder, { recursive: true, maxRetries: 5 });
});
