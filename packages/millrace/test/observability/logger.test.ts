// The log as programs and as people read it.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createLogger, eventCatalogue } from "../../src/observability/index.ts";
import type { LoggerOptions } from "../../src/observability/index.ts";
import type { LogFields, Logger } from "../../src/core/index.ts";

const at = new Date(2026, 9, 5, 12, 3, 1, 123);

/** A destination that remembers. */
class Recorder {
  readonly isTTY: boolean;
  text = "";

  constructor(isTTY = false) {
    this.isTTY = isTTY;
  }

  write(text: string): void {
    this.text += text;
  }
}

type WriterOptions = Partial<Omit<LoggerOptions, "destination">> & { readonly destination?: Recorder };

function written(options: WriterOptions, act: (logger: Logger) => void): string {
  const destination = options.destination ?? new Recorder();
  act(createLogger({ format: "pretty", level: "info", story: true, now: () => at, ...options, destination }));
  return destination.text;
}

const pretty = (event: string, fields: LogFields): string =>
  written({ level: "debug" }, (logger) => logger.info(event, fields));

describe("the log for people", () => {
  const queue = "my-app-events";
  const worker = "my-app";
  const lines: readonly (readonly [string, LogFields, string])[] = [
    [
      "http.request",
      { worker, method: "POST", path: "/signup", status: 202, ms: 3.04 },
      "my-app  POST /signup 202 (3 ms)",
    ],
    ["message.accepted", { queue, count: 1, ms: 1.23 }, "my-app-events  accepted 1 message (1.2 ms)"],
    [
      "batch.delivered",
      { queue, worker, count: 10, attempts_min: 1, attempts_max: 1 },
      "my-app-events → my-app  batch of 10",
    ],
    [
      "batch.delivered",
      { queue, worker, count: 1, attempts_min: 2, attempts_max: 2 },
      "my-app-events → my-app  batch of 1, attempt 2",
    ],
    [
      "batch.delivered",
      { queue, worker, count: 3, attempts_min: 1, attempts_max: 3 },
      "my-app-events → my-app  batch of 3, attempts 1 to 3",
    ],
    [
      "batch.completed",
      { queue, worker, outcome: "ok", acked: 9, retried: 1, deadLettered: 0, dropped: 0, released: 0, ms: 12.4 },
      "my-app-events → my-app  done: 9 acked, 1 to retry at once (12 ms)",
    ],
    [
      "batch.failed",
      {
        queue,
        worker,
        outcome: "exception",
        error: "Error: mail service down",
        retried: 10,
        retry_in_ms: 5000,
        next_attempt: 2,
        max_attempts: 4,
        ms: 4,
      },
      "my-app-events → my-app  ! handler threw: 10 to retry in 5 s (attempt 2 of 4) (4 ms)",
    ],
    [
      "batch.completed",
      { queue, worker, outcome: "ok", retried: 2, retry_in_ms: 2000, batch_timeout_ms: 5000, ms: 4 },
      "my-app-events → my-app  done: 2 to retry in 2 s to 7 s (4 ms)",
    ],
    [
      "batch.completed",
      { queue, worker, outcome: "ok", retried: 2, batch_timeout_ms: 5000, ms: 4 },
      "my-app-events → my-app  done: 2 to retry at once or within 5 s (4 ms)",
    ],
    [
      "batch.failed",
      { queue, worker, outcome: "daemonDown", error: "killed by SIGKILL", deadLettered: 2, ms: 1500 },
      "my-app-events → my-app  ! its process ended (killed by SIGKILL): 2 dead-lettered (1.5 s)",
    ],
    [
      "batch.failed",
      { queue, worker, outcome: "scriptNotFound" },
      "my-app-events → my-app  ! handler failed: scriptNotFound: nothing to settle",
    ],
    [
      "batch.returned",
      { queue, worker, outcome: "cancelled", released: 1 },
      "my-app-events → my-app  1 message returned unharmed",
    ],
    [
      "message.deadLettered",
      { queue, deadLetterQueue: "my-app-events-dlq", messageId: "0af1", attempts: 4 },
      "my-app-events  ! dead-lettered to my-app-events-dlq after 4 attempts (id 0af1)",
    ],
    [
      "message.dropped",
      { queue, attempts: 1, count: 3 },
      "my-app-events  ! 3 messages dropped after 1 attempt, for want of a dead letter queue",
    ],
    ["worker.log", { worker, level: "log", text: "mail service down" }, "my-app  mail service down"],
    ["worker.log", { worker, level: "error", text: "mail service down" }, "my-app  !! mail service down"],
    ["worker.restarting", { worker, delayMs: 200 }, "my-app  ! starting again in 200 ms"],
    ["deploy.done", { worker, ms: 1900 }, "my-app  deployed (1.9 s)"],
    ["queue.created", { queue, reason: "my-app consumes it" }, "my-app-events  created (my-app consumes it)"],
  ];
  for (const [event, fields, line] of lines) {
    test(`${event} reads: ${line}`, () => assert.equal(pretty(event, fields), `12:03:01.123  ${line}\n`));
  }

  test("an exception shows its stack underneath, and its message once", () => {
    const [frame, message] = ["    at queue (index.js:3:9)", "Error: boom"];
    const shown = `12:03:01.123  my-app  !! queue() threw: ${message}\n              ${frame}\n`;
    assert.equal(pretty("worker.error", { worker, handler: "queue", message, stack: `${message}\n${frame}` }), shown);
    assert.equal(pretty("worker.error", { worker, handler: "queue", message, stack: frame }), shown);
  });

  test("a failed request of the API shows why, with the stack", () => {
    const fields = { method: "POST", path: "/queues", status: 500, code: "INTERNAL", error: new Error("broken") };
    assert.match(pretty("api.failed", fields), /api {2}!! POST \/queues 500: broken\n +Error: broken\n +at /);
  });

  test("the runtime's words keep the level they came with", () => {
    const text = written({ format: "json" }, (logger) => logger.error("worker.runtime", { worker, message: "odd" }));
    assert.match(text, /"level":"error"/);
  });

  test("an unknown event is readable all the same", () => {
    assert.equal(
      pretty("lease.lost", { queue, count: 3, detail: "no answer" }),
      '12:03:01.123  my-app-events  lease.lost count=3 detail="no answer"\n',
    );
    assert.match(pretty("odd", { error: new Error("broken") }), /odd error="broken"\n +Error: broken/);
  });

  test("every event of the catalogue can be read even when all its fields are missing", () => {
    for (const event of Object.keys(eventCatalogue)) assert.match(pretty(event, {}), /^12:03:01\.123 {2}\S/);
  });

  test("lines of a Worker's console stay under its name, and cannot move the cursor", () => {
    assert.equal(
      pretty("worker.log", { worker, level: "log", text: "one\ntwo\u001B[2J\u0007\r" }),
      "12:03:01.123  my-app  one\n              two\n",
    );
    assert.ok(pretty("worker.log", { worker, level: "log", text: "\u001B[31mred\u001B[0m" }).includes("\u001B[31mred"));
  });

  test("colours are for terminals, unless NO_COLOR says no", () => {
    for (const [isTTY, env, colored] of [
      [true, {}, true],
      [false, {}, false],
      [true, { NO_COLOR: "1" }, false],
      [true, { TERM: "dumb" }, false],
    ] as const) {
      const text = written({ destination: new Recorder(isTTY), env }, (logger) =>
        logger.info("queue.created", { queue }),
      );
      assert.equal(text.includes("\u001B["), colored, `${isTTY} ${JSON.stringify(env)}`);
    }
  });
});

const json = (act: (logger: Logger) => void, options: WriterOptions = {}): unknown[] =>
  written({ format: "json", ...options }, act)
    .split("\n")
    .filter((line) => line !== "")
    .map((line): unknown => JSON.parse(line));

describe("the log for programs", () => {
  test("the readiness event has the documented fields and no others", () => {
    const fields = {
      api: "http://127.0.0.1:8788/client/v4",
      console: "http://127.0.0.1:8788/",
      workers: "http://127.0.0.1:8787",
      account_id: "a".repeat(32),
      pid: 7,
    };
    const text = written({ format: "json" }, (logger) => logger.info("ready", fields));
    assert.equal(text, `${JSON.stringify({ event: "ready", ...fields })}\n`);
  });

  test("an event is one line with its name, level, time and fields", () => {
    assert.deepEqual(
      json((logger) => logger.info("message.deadLettered", { queue: "q", deadLetterQueue: "dlq", attempts: 4 })),
      [
        {
          level: "warn",
          time: at.toISOString(),
          event: "message.deadLettered",
          queue: "q",
          deadLetterQueue: "dlq",
          attempts: 4,
        },
      ],
    );
  });

  test("a Worker's own level becomes the line's", () => {
    assert.deepEqual(
      json((logger) => logger.info("worker.log", { worker: "w", level: "warn", text: "two\nlines" })),
      [{ level: "warn", time: at.toISOString(), event: "worker.log", worker: "w", text: "two\nlines" }],
    );
  });

  test("errors keep message and stack, odd values do no harm", () => {
    const circular: { self?: unknown } = {};
    circular.self = circular;
    const [line] = json((logger) =>
      logger.error("odd", { error: new TypeError("broken"), time: 5, circular, none: undefined }),
    );
    const { error, ...rest } = line as Record<string, Record<string, unknown>>;
    assert.equal(error?.["message"], "broken");
    assert.equal(error?.["type"], "TypeError");
    assert.match(String(error?.["stack"]), /logger\.test/);
    assert.equal(rest["field_time"], 5);
  });
});

const events = (options: WriterOptions): number =>
  written(options, (logger) => {
    logger.debug("message.accepted", { queue: "q", count: 1 }); // a story event
    logger.debug("engine.commit", {}); // any other detail
    logger.warn("engine.slow", {});
  }).split("\n").length - 1;

describe("a destination that cannot be written", () => {
  for (const format of ["json", "pretty"] as const) {
    test(`loses lines, and the ${format} log says how many once it can be written again`, () => {
      let isFull = false;
      let text = "";
      const destination = {
        write: (line: string) => {
          if (isFull) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
          text += line;
        },
      };
      const logger = createLogger({ format, level: "info", story: false, now: () => at, destination });
      logger.info("queue.created", { queue: "first" });
      isFull = true;
      logger.info("queue.created", { queue: "second" });
      logger.info("ready", {});
      isFull = false;
      logger.info("queue.created", { queue: "third" });
      logger.info("queue.created", { queue: "fourth" });
      const [first, missing, third, fourth, ...rest] = text.split("\n");
      assert.match(first ?? "", /first/);
      assert.match(missing ?? "", format === "json" ? /"log\.interrupted","count":2/ : /lost before this: 2 lines/);
      assert.match(third ?? "", /third/);
      assert.match(fourth ?? "", /fourth/);
      assert.deepEqual(rest, [""]);
    });
  }
});

describe("levels", () => {
  test("a server writes from its level up, dev the story too", () => {
    assert.equal(events({ level: "info", story: false }), 1);
    assert.equal(events({ level: "info", story: true }), 2);
    assert.equal(events({ level: "debug", story: false }), 3);
    assert.equal(events({ level: "error", story: false }), 0);
  });

  test("what somebody waits for is written at any level", () => {
    assert.notEqual(
      written({ level: "error" }, (logger) => logger.info("ready", {})),
      "",
    );
  });

  test("a batch that went well is a detail, one that failed is not", () => {
    for (const outcome of ["ok", "exception"]) {
      const fields = { queue: "q", worker: "w", outcome };
      const text = written({ story: false }, (logger) =>
        logger.info(outcome === "ok" ? "batch.completed" : "batch.failed", fields),
      );
      assert.equal(text === "", outcome === "ok");
    }
  });
});
