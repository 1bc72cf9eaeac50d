// A decision that comes too late is ignored, and the Worker's log says so in the runtime's words: the rows of the precedence
// table that come with a warning (docs/reference/compatibility.md, section 3.2).

import assert from "node:assert/strict";
import { test } from "node:test";
import { HostHarness, message } from "./host-harness.ts";

/**
 * What the handler calls, `a` being the only message; then what the log says. Those of which it says nothing come first: a warning
 * of theirs would be there before the last one, which comes the same way.
 */
const rows: readonly (readonly [calls: string, warning: RegExp | undefined])[] = [
  ["a.ack(); batch.retryAll();", undefined],
  ["a.retry(); a.retry({ delaySeconds: 8 }); batch.ackAll();", undefined],
  ["a.ack(); a.retry();", /call to retry\(\) on message \w+ after ack\(\) was already called/],
  ["a.retry(); a.ack();", /call to ack\(\) on message \w+ after retry\(\) was already called/],
  ["batch.retryAll(); a.ack();", /call to ack\(\) on message \w+ after retryAll\(\) was already called/],
  ["batch.ackAll(); a.retry();", /call to retry\(\) on message \w+ after ackAll\(\) was already called/],
  ["batch.ackAll(); batch.retryAll();", /call to retryAll\(\) after ackAll\(\) was already called/],
  ["batch.retryAll(); batch.ackAll();", /call to ackAll\(\) after retryAll\(\) was already called/],
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
  for (const row of rows.keys()) {
    await harness.deliver([message("only")], { queue: `row-${row}` });
    await harness.line(`end of row ${row}`);
  }
  // Warnings and the Worker's own lines come over different pipes, in no order between them.
  const warnings = (): string[] => harness.console().filter((line) => !line.includes("end of row"));
  for (const [calls, warning] of rows) {
    if (warning === undefined) continue;
    await harness.until(() => warnings().some((line) => warning.test(line)), `the warning of ${calls}`);
  }
  assert.equal(warnings().length, rows.filter(([, warning]) => warning !== undefined).length, warnings().join("; "));
});
