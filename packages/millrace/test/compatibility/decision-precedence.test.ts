// Which of a handler's decisions counts, from the call in real workerd to what is decided about each message: the table of
// docs/reference/compatibility.md, section 3.2.

import assert from "node:assert/strict";
import { test } from "node:test";
import { seconds, settleDelivery } from "../../src/core/index.ts";
import type { EpochMs } from "../../src/core/index.ts";
import { HostHarness, message } from "../worker-host/host-harness.ts";

const now = 1_000_000 as EpochMs;
const policy = { maxRetries: 3, retryDelay: seconds(9), deadLetterQueue: undefined };

/** What the handler does with a batch of two, `a` being the first message; then what becomes of the first and the second. */
const rows: readonly (readonly [calls: string, first: string, second: string])[] = [
  ["", "ack", "ack"],
  ["a.ack(); a.retry();", "ack", "ack"],
  ["a.retry(); a.ack();", "retry in 9", "ack"],
  ["a.retry({ delaySeconds: 4 }); a.retry({ delaySeconds: 8 });", "retry in 8", "ack"],
  ["a.retry({ delaySeconds: 4 }); a.retry();", "retry in 9", "ack"],
  ["a.retry({ delaySeconds: 0 });", "retry in 0", "ack"],
  ["a.ack(); batch.retryAll();", "ack", "retry in 9"],
  ["a.retry(); batch.retryAll({ delaySeconds: 4 });", "retry in 4", "retry in 4"],
  ["a.ack(); batch.ackAll();", "ack", "ack"],
  ["a.retry(); batch.ackAll();", "retry in 9", "ack"],
  ["batch.retryAll(); a.ack();", "retry in 9", "retry in 9"],
  ["batch.retryAll(); a.retry({ delaySeconds: 1 });", "retry in 1", "retry in 9"],
  ["batch.ackAll(); a.retry();", "ack", "ack"],
  ["batch.ackAll(); batch.retryAll();", "ack", "ack"],
  ["batch.retryAll(); batch.ackAll();", "retry in 9", "retry in 9"],
  ["batch.retryAll({ delaySeconds: 4 }); batch.retryAll();", "retry in 4", "retry in 4"],
  ["throw new Error();", "retry in 9", "retry in 9"],
  ["a.ack(); throw new Error();", "ack", "retry in 9"],
  ["a.retry({ delaySeconds: 5 }); throw new Error();", "retry in 5", "retry in 9"],
  ["batch.ackAll(); throw new Error();", "ack", "ack"],
  ["batch.retryAll({ delaySeconds: 4 }); throw new Error();", "retry in 4", "retry in 4"],
  ["a.retry(); batch.ackAll(); throw new Error();", "retry in 9", "ack"],
];

test("decisions count in the documented order", async () => {
  await using harness = await HostHarness.open();
  const cases = rows.map(([calls]) => `(batch, [a]) => { ${calls} }`).join(",\n");
  const source = `const cases = [${cases}];
    export default { queue(batch) { return cases[batch.queue.slice(4)](batch, batch.messages); } };`;
  await harness.deploy({ source });
  for (const [index, [calls, ...expected]] of rows.entries()) {
    const messages = [message("first"), message("second")];
    const outcome = await harness.deliver(messages, { queue: `row-${index}` });
    assert.ok(outcome.kind === "completed", calls);
    const decided = settleDelivery(messages, outcome.result, policy, now).map((decision) =>
      decision.kind === "retry" ? `retry in ${((decision.visibleAt ?? now) - now) / 1_000}` : decision.kind,
    );
    assert.deepEqual(decided, expected, calls);
  }
});
