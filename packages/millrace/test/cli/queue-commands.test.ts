// `millrace queues …`, `tokens …` and `audit` against the real REST API.
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { after, before, describe, test } from "node:test";
import { cli, startApiServer } from "./cli-harness.ts";
import type { ApiServer, CliResult } from "./cli-harness.ts";

let server: ApiServer;
before(async () => (server = await startApiServer()));
after(async () => await server[Symbol.asyncDispose]());

const millrace = async (args: readonly string[], stdin = ""): Promise<CliResult> =>
  await cli(args, { cwd: tmpdir(), env: server.env, stdin });

/** Runs a command that must succeed; answers what it printed. */
async function must(...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await millrace(args);
  assert.equal(exitCode, 0, stderr);
  return stdout;
}

const mustJson = async <T>(...args: readonly string[]): Promise<T> => JSON.parse(await must(...args, "--json")) as T;

describe("queues", () => {
  test("an empty account says how to begin", async () => {
    assert.match(await must("queues", "list"), /no queue yet.*millrace queues create/);
    assert.deepEqual(await mustJson("queues", "list"), []);
  });

  test("are created, changed, paused, resumed, listed and deleted", async () => {
    assert.equal(await must("queues", "create", "orders", "--delivery-delay", "5"), "Created queue orders.\n");
    await must("queues", "update", "orders", "--retention", "3600");
    await must("queues", "pause", "orders");
    const info = await mustJson<{ settings: object }>("queues", "info", "orders");
    assert.deepEqual(info.settings, { delivery_delay: 5, delivery_paused: true, message_retention_period: 3600 });
    assert.match(await must("queues", "list"), /^NAME .*\norders +0 .* paused$/m);
    await must("queues", "resume", "orders");
    assert.match(await must("queues", "info", "orders"), /^Retention +3600 s \(60 min\)$/m);
    assert.equal(await must("queues", "delete", "orders"), "Deleted queue orders.\n");
    assert.deepEqual(await mustJson("queues", "list"), []);
  });

  test("say what became of every message, and doctor whether that adds up", async () => {
    await must("queues", "create", "counted");
    await must("queues", "send", "counted", "1", "2", "3");
    assert.match(await must("queues", "info", "counted"), /^Accounting +3 accepted = 3 in the backlog$/m);
    for (const [args, how] of [
      [[], "by the counters; --deep reads every message"],
      [["--deep"], "read one by one"],
    ] as const) {
      const { stdout } = await millrace(["doctor", ...args]);
      assert.match(stdout, /^ok +Messages +\d+ queues?, \d+ accepted, 3 held: all accounted for \((.*)\)$/m);
      assert.ok(stdout.includes(`(${how})`), stdout);
    }
    const { engine, controlPlane } = server.harness;
    const metrics = engine.metrics.bind(engine);
    const lossy = controlPlane.view.all("queue").find(({ name }) => name === "counted")?.id;
    engine.metrics = async (queue) => ({ ...(await metrics(queue)), ...(queue === lossy && { held: 1 }) });
    assert.match(
      await must("queues", "info", "counted"),
      /^Accounting +3 accepted ≠ 1 in the backlog\nVIOLATED +accepted messages unaccounted for: 2 .*millrace doctor --deep/m,
    );
    const { stdout, exitCode } = await millrace(["doctor"]);
    assert.match(
      stdout,
      /^BAD +Messages +counted: 3 accepted ≠ 1 in the backlog\n +accepted messages unaccounted for: 2/m,
    );
    assert.equal(exitCode, 1);
    engine.metrics = metrics;
    await must("queues", "delete", "counted", "--force");
  });

  test("what the API refuses is told in its words, with exit code 1", async () => {
    const { exitCode, stderr } = await millrace(["queues", "create", "not_valid"]);
    assert.equal(exitCode, 1);
    assert.match(stderr, /^millrace: Queue name "not_valid" is not valid.*\[code: 11003\]/);
  });

  test("a name that does not exist finds the nearest", async () => {
    await must("queues", "create", "my-app-events");
    const { exitCode, stderr } = await millrace(["queues", "peek", "my-app-evnets"]);
    assert.equal(exitCode, 1);
    assert.equal(stderr, 'millrace: queue "my-app-evnets" does not exist. Did you mean my-app-events?\n');
    const unlike = await millrace(["queues", "info", "invoices"]);
    assert.match(unlike.stderr, /Create it: millrace queues create invoices/);
    await must("queues", "delete", "my-app-events");
  });

  test("take in no more than they are told to", async () => {
    await must("queues", "create", "limited");
    await must("queues", "update", "limited", "--backlog-limit", "5000000", "--rate-limit", "500");
    assert.match(await must("queues", "info", "limited"), /^Limits +5 MB in all, 500 messages a second$/m);
    await must("queues", "update", "limited", "--rate-limit", "none");
    assert.match(await must("queues", "info", "limited"), /^Limits +5 MB in all$/m);
    assert.equal((await millrace(["queues", "update", "limited", "--rate-limit", "0"])).exitCode, 2);
    await must("queues", "delete", "limited");
  });

  test("say how they stand, in the right number", async () => {
    await must("queues", "create", "single");
    await must("queues", "update", "single", "--rate-limit", "1");
    await must("queues", "send", "single", "1");
    const info = await must("queues", "info", "single");
    assert.match(info, /^State +waiting: messages are accepted, nobody receives them$/m);
    assert.match(info, /^Backlog +1 message, 1 B$/m);
    assert.match(info, /^Limits +25 GB in all, 1 message a second$/m);
    assert.match(await must("queues", "consumer", "add", "single", "--pull", "--retries", "1"), /, 1 retry, /);
    assert.match(await must("queues", "info", "single"), /^State +delivering to clients that pull$/m);
    await must("queues", "pause", "single");
    assert.match(await must("queues", "info", "single"), /^State +paused: messages are accepted, none is delivered$/m);
    await must("queues", "delete", "single", "--force");
  });

  test("explain why nothing moves", async () => {
    await must("queues", "create", "stuck");
    assert.match(await must("queues", "explain", "stuck"), /is empty/);
    await must("queues", "send", "stuck", "1");
    assert.match(
      await must("queues", "explain", "stuck"),
      /No consumer is attached.*\n {2}Name the queue under queues\.consumers/,
    );
    await must("queues", "delete", "stuck", "--force");
  });

  test("nothing to change is a wrong call", async () => {
    assert.equal((await millrace(["queues", "update", "x"])).exitCode, 2);
  });
});

describe("messages", () => {
  test("are sent as JSON, text, lines and from a pipe, and can be looked at", async () => {
    await must("queues", "create", "mixed");
    assert.equal(
      await must("queues", "send", "mixed", '{"type":"welcome-email"}', "[1,2]"),
      "Sent 2 messages to mixed.\n",
    );
    await must("queues", "send", "mixed", "--text", "ümlaut", "--delay", "60");
    assert.equal((await millrace(["queues", "send", "mixed"], '{"from":"pipe"}\n')).exitCode, 0);
    assert.equal(
      (await millrace(["queues", "send", "mixed", "--lines"], "1\n2\n\n3\n")).stdout,
      "Sent 3 messages to mixed.\n",
    );
    const peeked = await mustJson<{ body: unknown; attempts: number; state: string }[]>("queues", "peek", "mixed");
    assert.deepEqual(
      new Set(peeked.map(({ body }) => JSON.stringify(body))),
      new Set(['{"type":"welcome-email"}', "[1,2]", '"ümlaut"', '{"from":"pipe"}', "1", "2", "3"]),
    );
    assert.equal(peeked.filter(({ state }) => state === "delayed").length, 1);
    assert.match(await must("queues", "peek", "mixed"), /never delivered\n {2}\{"type":"welcome-email"\}\n/);
    assert.equal((await mustJson<unknown[]>("queues", "peek", "mixed", "--count", "2")).length, 2);
  });

  test("keep every digit of their numbers on the way in and out", async () => {
    await must("queues", "create", "exact");
    const body = '{"n":12345678901234567890,"m":[1e400,0.1]}';
    await must("queues", "send", "exact", body, "[98765432109876543210]");
    await must("queues", "send", "exact", "18014398509481985");
    const shown = await must("queues", "peek", "exact");
    for (const text of [body, "[98765432109876543210]", "18014398509481985"])
      assert.ok(shown.includes(`  ${text}`), shown);
    assert.match(await must("queues", "peek", "exact", "--json"), /"n": 12345678901234567890,/);
    await must("queues", "consumer", "add", "exact", "--pull");
    assert.ok((await must("queues", "pull", "exact", "--ack")).includes(body));
  });

  test("more than a batch takes are sent in several", async () => {
    await must("queues", "create", "many");
    const lines = Array.from({ length: 250 }, (_, index) => String(index)).join("\n");
    assert.equal((await millrace(["queues", "send", "many", "--lines"], lines)).stdout, "Sent 250 messages to many.\n");
    const { metrics } = await mustJson<{ metrics: { backlog_count: number } }>("queues", "info", "many");
    assert.equal(metrics.backlog_count, 250);
  });

  test("a body that is no JSON is a wrong call, and nothing is sent", async () => {
    await must("queues", "create", "strict");
    const { exitCode, stderr } = await millrace(["queues", "send", "strict", "{}", "{type:1}"]);
    assert.equal(exitCode, 2);
    assert.match(stderr, /body 2 is not JSON: .*add --text/);
    assert.equal(await must("queues", "peek", "strict"), "Queue strict is empty.\n");
  });

  test("are not deleted by accident", async () => {
    await must("queues", "create", "precious");
    await must("queues", "send", "precious", "1");
    const refused = await millrace(["queues", "delete", "precious"]);
    assert.equal(refused.exitCode, 1);
    assert.match(refused.stderr, /still holds 1 message; .*--force/);
    assert.match((await millrace(["queues", "purge", "precious"])).stderr, /deletes 1 message for good.*--force/);
    assert.equal(await must("queues", "purge", "precious", "--force"), "Purging 1 message of queue precious.\n");
  });

  test("are pulled and acknowledged once a pull consumer is attached", async () => {
    await must("queues", "create", "pulled");
    assert.match(await must("queues", "consumer", "list", "pulled"), /no consumer/);
    const added = await must(
      "queues",
      "consumer",
      "add",
      "pulled",
      "--pull",
      "--retries",
      "5",
      "--dead-letter-queue",
      "pulled-dlq",
    );
    assert.match(added, /^Attached to pulled: pull over HTTP, .*5 retries, then to pulled-dlq\.$/m);
    await must("queues", "send", "pulled", '{"n":1}');
    assert.match(await must("queues", "pull", "pulled", "--ack"), /attempt 1 {2}acknowledged\n {2}\{"n":1\}/);
    assert.equal(await must("queues", "pull", "pulled"), "Queue pulled has nothing to deliver now.\n");
    await must("queues", "consumer", "remove", "pulled");
    assert.equal((await millrace(["queues", "consumer", "remove", "pulled"])).exitCode, 1);
  });

  test("are moved back from a dead letter queue, all that are there or as many as asked for", async () => {
    await must("queues", "create", "orders-dlq");
    assert.equal((await millrace(["queues", "redrive", "orders-dlq"])).exitCode, 1, "whose dead letters are these?");
    await must("queues", "create", "orders");
    await must("queues", "consumer", "add", "orders", "--pull", "--dead-letter-queue", "orders-dlq");
    assert.equal(await must("queues", "redrive", "orders-dlq"), "Queue orders-dlq is empty.\n");
    const lines = Array.from({ length: 1_200 }, (_, index) => String(index)).join("\n");
    await millrace(["queues", "send", "orders-dlq", "--lines"], lines);
    assert.equal(
      await must("queues", "redrive", "orders-dlq", "--max", "1"),
      "Moved 1 message of orders-dlq to orders. 1199 messages are in orders-dlq still.\n",
    );
    assert.deepEqual(await mustJson("queues", "redrive", "orders-dlq", "--to", "orders"), {
      target_queue: "orders",
      moved: 1_199,
      backlog_count: 0,
    });
    assert.match(await must("queues", "info", "orders"), /^Backlog +1200 messages, /m);
    assert.match(
      (await millrace(["queues", "redrive", "orders-dlq", "--to", "ordres"])).stderr,
      /"ordres" does not exist\. Did you mean orders\?/,
    );
  });

  test("a consumer is either a Worker or pulls", async () => {
    for (const flags of [
      [],
      ["--pull", "--worker", "x"],
      ["--pull", "--batch-timeout", "5"],
      ["--worker", "x", "--visibility-timeout", "5"],
    ]) {
      assert.equal((await millrace(["queues", "consumer", "add", "pulled", ...flags])).exitCode, 2, flags.join(" "));
    }
  });
});

describe("tokens", () => {
  test("are made, listed and revoked", async () => {
    const made = await mustJson<{ value: string; id: string }>("tokens", "create", "ci", "--scope", "workers:write");
    assert.match(await must("tokens", "list"), /^ci +workers:write +all +never +active/m);
    const asCi = await cli(["queues", "list"], {
      cwd: tmpdir(),
      env: { ...server.env, CLOUDFLARE_API_TOKEN: made.value },
    });
    assert.equal(asCi.exitCode, 0, asCi.stderr);
    assert.equal(await must("tokens", "revoke", "ci"), "Revoked token ci.\n");
    const revoked = await cli(["queues", "list"], {
      cwd: tmpdir(),
      env: { ...server.env, CLOUDFLARE_API_TOKEN: made.value },
    });
    assert.equal(revoked.exitCode, 1);
    assert.match(revoked.stderr, /\[code: 10000\]/);
    assert.equal((await millrace(["tokens", "revoke", "ci"])).exitCode, 1);
  });

  test("need no name, have several scopes and queues, and end after a span or at a time", async () => {
    interface Made {
      readonly id: string;
      readonly name: string;
      readonly scopes: readonly string[];
      readonly queues: readonly string[] | null;
      readonly expires_on: string | null;
    }
    const made = async (...args: readonly string[]): Promise<Made> => {
      const token = await mustJson<Made>("tokens", "create", ...args);
      await must("tokens", "revoke", token.id);
      return token;
    };
    const unnamed = await made("--scope", "queues:read");
    assert.match(unnamed.name, /^queues:read \d{4}-\d\d-\d\d$/);
    assert.deepEqual([unnamed.queues, unnamed.expires_on], [null, null]);
    const narrow = [
      "--scope",
      "queues:read,queues:write",
      "--queue",
      "a",
      "--queue",
      "b",
      "--expires",
      "5000d",
      "shop",
    ];
    const named = await made(...narrow);
    assert.deepEqual([named.name, named.scopes, named.queues], ["shop", ["queues:read", "queues:write"], ["a", "b"]]);
    const days = (Date.parse(named.expires_on ?? "") - Date.now()) / 86_400_000;
    assert.ok(days > 4_999 && days <= 5_000, named.expires_on ?? "never");
    assert.equal((await made("--scope", "admin", "--expires", "2999-01-31")).expires_on, "2999-01-31T00:00:00.000Z");
    for (const wrong of ["tomorrow", "2001-01-01", "0d", "-1d", ""]) {
      const { exitCode, stderr } = await millrace(["tokens", "create", "--scope", "admin", "--expires", wrong]);
      assert.equal(exitCode, 2, wrong);
      assert.match(stderr, /Expected a time to come/);
    }
  });
});

describe("audit", () => {
  test("says who changed what, newest first, and goes on from any entry", async () => {
    await must("queues", "create", "audited");
    await must("queues", "update", "audited", "--delivery-delay", "5");
    await must("tokens", "create", "auditor", "--scope", "queues:read");
    const shown = await must("audit", "--limit", "3");
    assert.match(shown, /^NUMBER +WHEN +WHO +WHAT +ON +DETAILS$/m);
    const [token, update, create] = shown.split("\n").slice(1);
    assert.match(token ?? "", / administrator +CreateToken +auditor +scopes queues:read$/);
    assert.match(update ?? "", / administrator +UpdateQueue +audited +delivery_delay_s 0 → 5$/);
    assert.match(create ?? "", / administrator +CreateQueue +audited$/);
    const start = /--before (\d+)/.exec(shown)?.[1] ?? "";
    const older = await mustJson<{ number: number; action: string; when: string }[]>("audit", "--before", start);
    assert.ok(older.length > 3 && older.every(({ number }) => number < Number(start)));
    assert.match(older.at(-1)?.when ?? "", /^\d{4}-\d\d-\d\dT/);
    assert.equal(await must("audit", "--before", "1"), "Nothing is older.\n");
    assert.equal((await millrace(["audit", "--limit", "1001"])).exitCode, 2);
  });
});
