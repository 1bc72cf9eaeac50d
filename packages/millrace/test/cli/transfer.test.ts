// `millrace queues export` and `import` against the real REST API, and how a stream is cut into requests.
import assert from "node:assert/strict";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";

import fc from "fast-check";
import { lineChunks } from "../../src/cli/transfer/line-chunks.ts";
import type { LineChunk } from "../../src/cli/transfer/line-chunks.ts";
import { cli, startApiServer, temporaryFolder } from "./cli-harness.ts";
import type { ApiServer, CliResult } from "./cli-harness.ts";

interface Story extends AsyncDisposable {
  readonly server: ApiServer;
  readonly folder: string;
  run(args: readonly string[], stdin?: string): Promise<CliResult>;
  /** What a command that must succeed printed. */
  must(...args: readonly string[]): Promise<string>;
  count(queue: string): Promise<number>;
}

async function open(): Promise<Story> {
  await using parts = new AsyncDisposableStack();
  const server = parts.use(await startApiServer());
  const { path: folder } = parts.use(await temporaryFolder());
  const kept = parts.move();
  const run = async (args: readonly string[], stdin = ""): Promise<CliResult> =>
    await cli(["queues", ...args], { cwd: folder, env: server.env, stdin });
  const must = async (...args: readonly string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await run(args);
    assert.equal(exitCode, 0, stderr);
    return stdout;
  };
  return {
    server,
    folder,
    run,
    must,
    async count(queue) {
      const { engine, controlPlane } = server.harness;
      const found = controlPlane.view.all("queue").find(({ name }) => name === queue);
      assert.ok(found !== undefined);
      return (await engine.metrics(found.id)).backlog.count;
    },
    [Symbol.asyncDispose]: async () => await kept.disposeAsync(),
  };
}

const ownId = (number: number): string => number.toString(16).padStart(32, "0");
const plain = (number: number): string => JSON.stringify({ id: ownId(number), content_type: "json", body: number });
const many = (count: number, from = 0): string[] => Array.from({ length: count }, (_, index) => plain(from + index));

test("a queue goes into a file and out of it into another one", async () => {
  await using story = await open();
  const { folder, server } = story;
  const must = async (...args: readonly string[]): Promise<string> => await story.must(...args);
  await must("create", "orders");
  await must("create", "copies");
  const lines = many(2_500);
  await writeFile(join(folder, "many.ndjson"), lines.join("\n"));
  assert.equal(await must("import", "orders", "many.ndjson"), "Imported 2500 messages into orders.\n");
  await must("send", "orders", '{"type":"welcome-email"}', "--delay", "60");
  assert.equal(await must("export", "orders", "orders.ndjson"), "Exported 2501 messages of orders to orders.ndjson.\n");
  const file = join(folder, "orders.ndjson");
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  const told = JSON.parse(await must("import", "copies", "orders.ndjson", "--json")) as object;
  assert.deepEqual(told, { queue_name: "copies", lines: 2_501, imported: 2_501, already_there: 0 });
  assert.equal(await story.count("copies"), 2_501);
  const { stdout } = await story.run(["export", "copies"]);
  const facts = (text: string): unknown[] =>
    text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
  assert.deepEqual(facts(stdout), facts(await readFile(file, "utf8")));
  assert.deepEqual((await readdir(folder)).toSorted(), ["many.ndjson", "orders.ndjson"]);
  assert.ok(server.harness.log.events.some(({ event }) => event === "queue.exported"));
});

test("stdout has nothing but the lines, and stdin brings them back", async () => {
  await using story = await open();
  await story.must("create", "orders");
  await story.must("send", "orders", "1", "2");
  const exported = await story.run(["export", "orders", "-"]);
  assert.match(exported.stdout, /^\{.*"body":1\}\n\{.*"body":2\}\n$/);
  assert.equal(exported.stderr, "Exported 2 messages of orders.\n");
  await story.must("create", "copies");
  const imported = await story.run(["import", "copies", "-"], exported.stdout);
  assert.equal(imported.stdout, "Imported 2 messages into copies.\n");
  const again = await story.run(["import", "copies", "-"], exported.stdout);
  assert.equal(again.stdout, "Imported 0 messages into copies. 2 messages were there already.\n");
});

test("an export ends although messages keep coming in", async () => {
  await using story = await open();
  await story.must("create", "orders");
  await story.run(["import", "orders", "-"], many(1_500).join("\n"));
  const { engine, controlPlane } = story.server.harness;
  const queue = controlPlane.view.all("queue")[0]?.id;
  assert.ok(queue !== undefined);
  const peek = engine.peek.bind(engine);
  let coming = 10_000;
  engine.peek = async (...args) => {
    await story.server.harness.must("POST", `/queues/${queue}/messages/batch`, {
      messages: Array.from({ length: 100 }, () => ({ body: (coming += 1) })),
    });
    return await peek(...args);
  };
  const { stdout } = await story.run(["export", "orders"]);
  const bodies = stdout
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { body: number }).body);
  assert.deepEqual(
    bodies,
    Array.from({ length: 1_500 }, (_, index) => index),
  );
});

test("a bad line stops the import; what was before it is told, and a second run goes on", async () => {
  await using story = await open();
  await story.must("create", "orders");
  const lines = many(2_500);
  lines[2_099] = '{"id":"oops"}';
  const file = join(story.folder, "lines.ndjson");
  await writeFile(file, lines.join("\n"));
  const failed = await story.run(["import", "orders", "lines.ndjson"]);
  assert.equal(failed.exitCode, 1);
  assert.match(failed.stderr, /line 2100: id: expected 32 lower-case hex digits, got "oops"/);
  assert.match(failed.stderr, /Lines 1 to 2000 are imported, none behind\. Run it again once that is mended/);
  assert.equal(await story.count("orders"), 2_000);
  lines[2_099] = plain(2_099);
  await writeFile(file, lines.join("\n"));
  assert.match(
    await story.must("import", "orders", "lines.ndjson"),
    /Imported 500 .* 2000 messages were there already/,
  );
  assert.equal(await story.count("orders"), 2_500);
  const other = await story.run(["import", "orders", "-"], "no JSON");
  assert.match(other.stderr, /line 1: .*not JSON.* Nothing was imported\./s);
});

test("a server that stops in the middle is told with what is done, and a second run doubles nothing", async () => {
  await using story = await open();
  await story.must("create", "orders");
  const { engine } = story.server.harness;
  const send = engine.send.bind(engine);
  let sends = 0;
  engine.send = async (...args) => {
    sends += 1;
    const receipt = await send(...args);
    if (sends === 2) throw new Error("stored, and nobody is told");
    return receipt;
  };
  const text = many(2_500).join("\n");
  const failed = await story.run(["import", "orders", "-"], text);
  assert.equal(failed.exitCode, 1);
  assert.match(failed.stderr, /Lines 1 to 1000 are imported/);
  assert.match((await story.run(["import", "orders", "-"], text)).stdout, /Imported 500 .* 2000 messages were there/);
  assert.equal(await story.count("orders"), 2_500);
});

test("wrong calls are usage errors, and leave no file behind", async () => {
  await using story = await open();
  await story.must("create", "orders");
  await writeFile(join(story.folder, "there.ndjson"), "kept");
  const wrong: readonly (readonly [args: readonly string[], code: number, said: RegExp])[] = [
    [["export", "orders", "there.ndjson"], 2, /there\.ndjson exists already.*--force/],
    [["export", "orders", "--json"], 2, /--json is for an export into a file: name one/],
    [["export", "orders", "-", "--force"], 2, /--force is for an export into a file/],
    [["export", "ordres", "new.ndjson"], 1, /queue "ordres" does not exist. Did you mean orders\?/],
    [["export", "orders", "no/such/folder.ndjson"], 1, /there is no folder .*no.such\./],
    [["import", "orders", "missing.ndjson"], 1, /there is no file .*missing\.ndjson/],
    [["import", "orders"], 2, /missing required argument 'file'/],
  ];
  for (const [args, code, said] of wrong) {
    const { exitCode, stderr } = await story.run(args);
    assert.match(stderr, said);
    assert.equal(exitCode, code, stderr);
  }
  assert.deepEqual(await readdir(story.folder), ["there.ndjson"]);
  assert.equal(await readFile(join(story.folder, "there.ndjson"), "utf8"), "kept");
  await story.must("export", "orders", "there.ndjson", "--force");
  assert.equal(await readFile(join(story.folder, "there.ndjson"), "utf8"), "");
});

async function allOf<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of source) all.push(each);
  return all;
}

async function chunksOf(pieces: readonly Uint8Array[], lines: number, bytes: number): Promise<LineChunk[]> {
  return await allOf(lineChunks(Readable.from(pieces), { lines, bytes }));
}

test("a stream is cut at line ends, whatever its pieces; nothing is lost and no chunk is too large", async () => {
  const text = fc
    .array(fc.string({ unit: "binary", maxLength: 12 }), { maxLength: 40 })
    .map((lines) => lines.join("\n"));
  await fc.assert(
    fc.asyncProperty(text, fc.integer({ min: 1, max: 9 }), fc.nat(60), async (whole, maxLines, extra) => {
      const source = Buffer.from(whole.replace(/^\ufeff/, ""));
      const longest = Math.max(
        1,
        ...source
          .toString()
          .split("\n")
          .map((line) => Buffer.byteLength(line) + 1),
      );
      const pieces: Buffer[] = [];
      for (let at = 0; at < source.length; at += 7) pieces.push(source.subarray(at, at + 7));
      const chunks = await chunksOf(pieces, maxLines, longest + extra);
      let line = 1;
      for (const chunk of chunks) {
        assert.equal(chunk.firstLine, line);
        line += chunk.lines;
        assert.ok(chunk.lines <= maxLines && Buffer.byteLength(chunk.text) <= longest + extra);
        assert.equal(chunk.text.split("\n").length - (chunk.text.endsWith("\n") ? 1 : 0), chunk.lines);
      }
      assert.equal(
        chunks
          .map(({ text: part }) => part)
          .join("")
          .replaceAll("\ufeff", ""),
        source.toString().replaceAll("\ufeff", ""),
      );
    }),
  );
});

test("a line longer than any message is refused before it is all read, and bytes that are no text with their lines", async () => {
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("1\n2\n");
    for (;;) yield Buffer.alloc(1_000, "x");
  }
  await assert.rejects(allOf(lineChunks(endless(), { lines: 10, bytes: 10_000 })), {
    message: /line 3 is longer than any message: 10000 bytes/,
  });
  await assert.rejects(chunksOf([Buffer.from("1\n2\n\xff", "latin1")], 2, 100), {
    message: /lines 3 to 3 are not UTF-8/,
  });
});
