// A queue moves from one real server to another as lines of JSON, through a pipe, with a server that dies in the middle.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { command, millraceBin, Server, temporaryFolder } from "../support/millrace.ts";

interface Accounting {
  readonly holds: boolean;
  readonly accepted: number;
  readonly backlog_count: number;
}

const facts = (text: string): unknown[] =>
  text
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      const {
        state: _state,
        until_ms: _until,
        attempts: _attempts,
        ...kept
      } = JSON.parse(line) as Record<string, unknown>;
      return kept;
    });

async function create(server: Server, name: string): Promise<string> {
  return (await server.result<{ queue_id: string }>("POST", "/queues", { queue_name: name })).queue_id;
}

const accounting = async (server: Server, queue: string): Promise<Accounting> =>
  await server.result<Accounting>("GET", `/millrace/queues/${queue}/accounting?deep=true`);

test(
  "a queue in use is exported, and imported by another server that dies in between",
  { timeout: 240_000 },
  async () => {
    await using folder = await temporaryFolder();
    const file = join(folder.path, "orders.ndjson");
    await using source = await Server.start(join(folder.path, "one"));
    const orders = await create(source, "orders");
    await source.result("POST", `/queues/${orders}/consumers`, { type: "http_pull", settings: {} });
    for (let round = 0; round < 40; round += 1) {
      const messages = Array.from({ length: 100 }, (_, index) => ({
        body: { number: round * 100 + index, text: "Grüße 😀" },
      }));
      await source.result("POST", `/queues/${orders}/messages/batch`, { messages });
    }
    await source.result("POST", `/queues/${orders}/messages`, {
      body: "later",
      content_type: "text",
      delay_seconds: 3_600,
    });
    const { messages: held } = await source.result<{ messages: unknown[] }>("POST", `/queues/${orders}/messages/pull`, {
      batch_size: 50,
      visibility_timeout_ms: 600_000,
    });
    assert.equal(held.length, 50);
    const before = await source.result("POST", `/queues/${orders}/messages/peek`, { batch_size: 100 });
    const exported = await source.millrace(folder.path, "queues", "export", "orders", file);
    assert.equal(exported.stdout, `Exported 4001 messages of orders to ${file}.\n`, exported.stderr);
    assert.deepEqual(await source.result("POST", `/queues/${orders}/messages/peek`, { batch_size: 100 }), before);
    const text = await readFile(file, "utf8");
    assert.equal(text.split("\n").filter((line) => line.includes('"state":"leased"')).length, 50);
    assert.match(text, /"state":"delayed","until_ms":\d+,"body":"later"\}\n/);

    const data = join(folder.path, "two");
    let target = await Server.start(data);
    const { ports } = target;
    try {
      const copies = await create(target, "copies");
      // More than the file gets in before the server dies, and the rest after it is back.
      const child = spawn(process.execPath, [millraceBin, "queues", "import", "copies", "-", "--data", data], {
        cwd: folder.path,
        stdio: ["pipe", "pipe", "pipe"],
      });
      const half = text.indexOf("\n", text.length / 2) + 1;
      child.stdin.on("error", () => undefined); // the command is gone: what is written to it too
      child.stdin.write(text.slice(0, half));
      await target.event("queue.imported");
      await target.kill();
      child.stdin.end(text.slice(half));
      const [code] = (await once(child, "close")) as [number];
      assert.equal(code, 1);
      target = await Server.start(data, ports);
      const there = (await accounting(target, copies)).backlog_count;
      assert.ok(there >= 1_000 && there < 4_001, String(there));

      const again = await target.millrace(folder.path, "queues", "import", "copies", file, "--json");
      assert.equal(again.code, 0, again.stderr);
      const told = JSON.parse(again.stdout) as object;
      assert.deepEqual(told, { queue_name: "copies", lines: 4_001, imported: 4_001 - there, already_there: there });
      const { holds, accepted, backlog_count: count } = await accounting(target, copies);
      assert.deepEqual([holds, accepted, count], [true, 4_001, 4_001]);
      const back = await target.millrace(folder.path, "queues", "export", "copies");
      assert.deepEqual(facts(back.stdout), facts(text));

      await appendFile(file, "oops\n");
      const bad = await command([millraceBin, "queues", "import", "copies", file, "--data", data], folder.path, {});
      assert.equal(bad.code, 1);
      assert.match(bad.stderr, /line 4002: .*not JSON/);
      assert.equal((await accounting(target, copies)).backlog_count, 4_001);
    } finally {
      await target[Symbol.asyncDispose]();
    }
  },
);
