// A decision that comes too late is ignored, and the Worker's log says so in the runtime's words: the rows of the precedence
// table that come with a warning (docs/reference/compatibility.md, section 3.2).

import assert from "node:assert/strict";
import { test } from "node:test";
import { HostHarness, message } from "./host-harness.ts";

/** What the handler calls, `a` being the only message; then what the log says. */
const rows: readonly (readonly [calls: string, warning: RegExp | undefined])[] = [
  ["a.ack(); a.retry();", /call to retry\(\) on message \w+ after ack\(\) was already called/],
  ["a.retry(); a.ack();", /call to ack\(\) on message \w+ after retry\(\) was already called/],
  ["batch.retryAll(); a.ack();", /call to ack\(\) on message \w+ after retryAll\(\) was already called/],
  ["batch.ackAll(); a.retry();", /call to retry\(\) on message \w+ after ackAll\(\) was already called/],
  ["batch.ackAll(); batch.retryAll();", /call to retryAll\(\) after ackAll\(\) was already called/],
  ["batch.retryAll(); batch.ackAll();", /call to ackAll\(\) after retryAll\(\) was already called/],
  ["a.ack(); batch.retryAll();", undefined],
  ["a.retry(); a.retry({ delaySeconds: 8 }); batch.ackAll();", undefined],
];

test("a decision that is ignored is told in the Worker's log, others are not", async () => {
  await using harness = await HostHarness.open();
  const cases = rows.map(([calls]) => `(batch, [a]) => { ${calls} }`).join(",\n");
  await harness.deploy({
    source: `const cases = [${cases}];
      export default { queue(batch) {
        const row = batch.queue.slice(4);
        cases[row](batch, batch.messages);
        console.warn("end of row " + row);
      } };`,
  });
  for (const [row, [calls, warning]] of rows.entries()) {
    const before = harness.console().length;
    await harness.deliver([message("only")], { queue: `row-${row}` });
    await harness.line(`end of row ${row}`);
    const told = harness.console().slice(before, -1);
    assert.equal(told.length, warning === undefined ? 0 : 1, `${calls} ${told.join("; ")}`);
    if (warning !== undefined) assert.match(told[0] ?? "", warning, calls);
  }
});
