// workerd's lines, read; and the small parts they pass through.

import assert from "node:assert/strict";
import { test } from "node:test";
import { afterFailedStart, restartDelay } from "../../src/worker-host/backoff.ts";
import { capnpText, embed } from "../../src/worker-host/capnp-text.ts";
import { LineSplitter } from "../../src/worker-host/line-splitter.ts";
import { withoutMachinePaths } from "../../src/worker-host/machine-paths.ts";
import { readOutput } from "../../src/worker-host/runtime-output.ts";
import { UncaughtErrors } from "../../src/worker-host/uncaught-errors.ts";
import type { UncaughtError } from "../../src/worker-host/uncaught-errors.ts";

const runtimeLine = (message: string, level = "info"): string =>
  JSON.stringify({
    timestamp: "1795458897214",
    level,
    source: "workerd/io/worker.c++:2825",
    message,
    context_depth: 0,
  });

test("console lines, uncaught exceptions and the runtime's own words are told apart", () => {
  const read = (line: string): unknown => readOutput(line, false, "stdout");
  assert.deepEqual(read('{"timestamp":1,"level":"warn","message":"careful"}'), {
    kind: "console",
    level: "warn",
    text: "careful",
  });
  const stack = "TypeError: a; b: c\nsecond line\n    at Object.queue (index.js:1:2)";
  assert.deepEqual(read(runtimeLine(`uncaught exception; source = Uncaught (in promise); stack = ${stack}`)), {
    kind: "uncaught",
    name: "TypeError",
    message: "a; b: c\nsecond line",
    stack,
  });
  assert.deepEqual(read(runtimeLine("uncaught exception; source = Uncaught (in promise); exception = just: words")), {
    kind: "uncaught",
    name: "Error",
    message: "just: words",
    stack: undefined,
  });
  assert.deepEqual(
    read(
      runtimeLine(
        "uncaught exception; exception = workerd/api/queue.c++:657: failed: jsg.Error: no handler\nstack: /a/workerd@1f /b/c@2",
      ),
    ),
    { kind: "restated", name: "Error", message: "no handler" },
  );
  assert.equal(
    read(runtimeLine("uncaught exception; exception = kj/x.c++:1: failed: worker_do_not_log; y")),
    undefined,
  );
  assert.deepEqual(
    read(runtimeLine("Uncaught exception: workerd/jsg/value.h:1511: failed: remote.jsg.TypeError: boom", "error")),
    { kind: "fetchFailed", text: "TypeError: boom" },
  );
  assert.deepEqual(
    read(runtimeLine("Uncaught exception: a.h:1: failed: remote.jsg.DOMException(AbortError): gone", "error")),
    { kind: "fetchFailed", text: "AbortError: gone" },
  );
  for (const source of ["Uncaught (async)", "Uncaught (in response)"])
    assert.deepEqual(read(runtimeLine(`uncaught exception; source = ${source}; stack = ${stack}`)), {
      kind: "restated",
      name: "TypeError",
      message: "a; b: c\nsecond line",
    });
  assert.deepEqual(read(runtimeLine("something else\nstack: /a/b@12 /c/d@ff", "error")), {
    kind: "runtime",
    level: "error",
    text: "something else",
  });
  assert.deepEqual(read("plain text"), { kind: "console", level: "log", text: "plain text" });
  assert.equal(read("  "), undefined);
});

test("a line that was cut is still read", () => {
  const line = '{"timestamp":1,"level":"log","message":"abc\\u00';
  assert.deepEqual(readOutput(line, true, "stdout"), { kind: "console", level: "log", text: "abc … (cut)" });
});

test("lines are put together from pieces, and long ones cut", () => {
  const lines: (readonly [string, boolean])[] = [];
  const splitter = new LineSplitter(5, (line, isCut) => lines.push([line, isCut]));
  const euro = Buffer.from("€\n");
  for (const piece of [
    Buffer.from("a\nb"),
    Buffer.from("c\n\n123456"),
    Buffer.from("789\n"),
    euro.subarray(0, 1),
    euro.subarray(1),
  ]) {
    splitter.push(piece);
  }
  splitter.push(Buffer.from("end"));
  splitter.end();
  assert.deepEqual(lines, [
    ["a", false],
    ["bc", false],
    ["", false],
    ["12345", true],
    ["€", false],
    ["end", false],
  ]);
});

test("values cannot break out of the configuration's text", () => {
  assert.equal(
    capnpText({ name: 'a"b\\c\n\u0000é', list: [true, embed("f")], nothing: undefined }),
    String.raw`(name = "a\x22b\x5cc\x0a\x00\xc3\xa9", list = [true, embed "f"])`,
  );
});

test("this machine's paths are taken out, other slashes stay", () => {
  assert.equal(
    withoutMachinePaths(`at ${process.execPath}:1:2, GET /api/orders, https://example.com/tmp/x, /tmp/a/b.js (/tmp)`),
    `at ${process.execPath.split("/").at(-1)}:1:2, GET /api/orders, https://example.com/tmp/x, b.js (/tmp)`,
  );
});

test("the first three restarts are immediate, later ones wait longer and longer", () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6, 20, 5_000].map((failures) => restartDelay(failures, 500, 30_000)),
    [0, 0, 0, 0, 500, 1_000, 2_000, 30_000, 30_000],
  );
});

test("what does not start is tried once more at once, then ever less often", () => {
  const delays: number[] = [];
  let failures = 0;
  for (let start = 1; start <= 4; start += 1) {
    failures = afterFailedStart(failures);
    delays.push(restartDelay(failures, 500, 30_000));
  }
  assert.deepEqual(delays, [0, 500, 1_000, 2_000]);
});

test("each exception goes to whoever failed with it", async () => {
  const reported: UncaughtError[] = [];
  const errors = new UncaughtErrors((error) => reported.push(error));
  const error = (message: string) => ({ name: "Error", message, stack: undefined });
  errors.add(error("of a fetch"));
  errors.add(error("of a batch"));
  errors.claimForFetch("Error: of a fetch");
  assert.equal((await errors.claimForQueue(0))?.message, "of a batch");
  errors.restate(error("of a batch"));

  const later = errors.claimForQueue(0);
  setImmediate(() => errors.add(error("read late")));
  assert.equal((await later)?.message, "read late");

  errors.add(error("of nobody"));
  errors.flush();
  assert.deepEqual(
    reported.map(({ handler, message }) => [handler, message]),
    [
      ["fetch", "of a fetch"],
      ["queue", "of a batch"],
      ["queue", "read late"],
      ["unknown", "of nobody"],
    ],
  );
});
