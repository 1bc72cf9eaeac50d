// What a trial start accepts, finds and refuses.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isMillraceError } from "../../src/core/index.ts";
import { HostHarness } from "./host-harness.ts";
import type { Script } from "./host-harness.ts";

/** The words of a refusal. */
async function refused(harness: HostHarness, script: Script): Promise<string> {
  try {
    await harness.prepare(script);
  } catch (error) {
    assert.ok(isMillraceError(error, "WORKER_INVALID"), String(error));
    return error.detail;
  }
  throw new assert.AssertionError({ message: "it was accepted" });
}

/** `export const add = (a, b) => a + b` for 32-bit integers. */
const addWasm = Buffer.from(
  "0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b",
  "hex",
);

test("handlers are found on objects, classes, named exports and service-worker scripts", async () => {
  await using harness = await HostHarness.open();
  const handlers = async (source: string, kind?: Script["kind"]): Promise<unknown> => {
    const prepared = await harness.prepare({ source, ...(kind === undefined ? {} : { kind }) });
    return [prepared.handlers, prepared.namedHandlers];
  };
  assert.deepEqual(await handlers("export default { fetch() {}, queue() {}, scheduled() {}, notAHandler() {} }"), [
    ["fetch", "queue", "scheduled"],
    {},
  ]);
  assert.deepEqual(
    await handlers(`import { WorkerEntrypoint } from "cloudflare:workers";
      class Base extends WorkerEntrypoint { queue() {} }
      export class Jobs extends WorkerEntrypoint { queue() {} }
      export const extra = { fetch() {} };
      export default class extends Base { fetch() {} }`),
    [["fetch", "queue"], { Jobs: ["queue"], extra: ["fetch"] }],
  );
  assert.deepEqual(
    await handlers(
      `"use strict"; addEventListener("fetch", (event) => event.respondWith(new Response("mine")));
      self.addEventListener("queue", () => {});`,
      "service-worker",
    ),
    [["fetch", "queue"], {}],
  );
  assert.deepEqual(await handlers(`export default { get queue() { return undefined; }, fetch: 1 }`), [[], {}]);
});

test("a script that does not load is refused in the runtime's own words, without paths of this machine", async () => {
  await using harness = await HostHarness.open();
  assert.match(
    await refused(harness, { source: "export default {\n  fetch() { let x = ; }\n}" }),
    /^Uncaught SyntaxError: Unexpected token ';'\n\s+at index\.js:2:20$/,
  );
  assert.match(
    await refused(harness, { source: `import x from "./missing.js"; export default {}` }),
    /^Uncaught Error: No such module "missing\.js"/,
  );
  assert.match(
    await refused(harness, { source: `throw new Error("no " + ${JSON.stringify(import.meta.dirname)})` }),
    /^Uncaught Error: no worker-host\n/,
  );
  assert.match(await refused(harness, { source: "export const a = 1" }), /Incorrect type for map entry 'a'/);
  assert.match(
    await refused(harness, { source: "await new Promise(() => {})" }),
    /Top-level await in module is unsettled/,
  );
  assert.match(
    await refused(harness, {
      source: `import wasm from "./w.wasm"; export default {}`,
      modules: [{ name: "w.wasm", kind: "wasm", content: "not wasm" }],
    }),
    /expected magic word/,
  );
});

test("an endless loop at the top level is refused in bounded time and leaves no process", async () => {
  await using harness = await HostHarness.open({ startTimeoutMs: 700 });
  assert.match(
    await refused(harness, { source: "for (;;); export default {}" }),
    /did not finish loading within 0\.7 seconds/,
  );
  const prepared = await harness.prepare({ source: "export default { fetch() {} }" });
  assert.deepEqual(prepared.handlers, ["fetch"], "the host goes on");
});

test("flags that open the runtime's own doors are refused", async () => {
  await using harness = await HostHarness.open();
  const source = "export default { fetch() {} }";
  for (const flag of ["experimental", "service_binding_extra_handlers", "unsafe_module"]) {
    assert.match(await refused(harness, { source, flags: [flag] }), new RegExp(`flag ${flag} is experimental`));
  }
  assert.match(await refused(harness, { source, flags: ["webgpu"] }), /flag webgpu is experimental/);
  assert.match(await refused(harness, { source, flags: ["no_such_flag"] }), /No such compatibility flag: no_such_flag/);
  assert.match(await refused(harness, { source, date: "soon" }), /compatibility date "soon" is not of the form/);
});

test("a compatibility date newer than the runtime runs as of the newest it knows, with a warning", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy({ source: "export default { fetch() { return new Response('runs'); } }", date: "2026-11-20" });
  assert.equal(await harness.fetch(), "runs");
  const warning = harness.log.events.find(({ event }) => event === "worker.compatibility");
  assert.match(String(warning?.fields["message"]), /2026-11-20 is newer than this runtime; it runs as of 2026-10-\d\d/);
});

test("module names that lead out of the script are refused", async () => {
  await using harness = await HostHarness.open();
  const source = "export default {}";
  for (const name of ["../x.js", "/etc/x.js", "a/../../x.js", "", "a\nb", String.raw`..\x.js`, "C:\\x.js"]) {
    const modules = [{ name, kind: "text" as const, content: "" }];
    assert.match(await refused(harness, { source, modules }), /^The module name/, name);
  }
  const twice = [{ name: "index.js", kind: "text" as const, content: "" }];
  assert.match(await refused(harness, { source, modules: twice }), /is there twice/);
});

test("every kind of module and binding reaches the Worker", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy(
    {
      source: `import text from "./a.txt"; import data from "./lib/d.bin"; import json from "./j.json"; import wasm from "./w.wasm";
        import common from "./c.cjs"; import { name } from "./lib/deep.js"; import { Buffer } from "node:buffer";
        export default { async fetch(request, env) {
          const instance = await WebAssembly.instantiate(wasm);
          return Response.json({ text, data: [...new Uint8Array(data)], json, sum: instance.exports.add(2, 3), common: common.answer, name,
            node: Buffer.from("hi").toString("hex"), process: process.env.PLAIN, env });
        } };`,
      flags: ["nodejs_compat"],
      date: "2026-05-01",
      modules: [
        { name: "a.txt", kind: "text", content: 'quotes " and \\ and\nlines é' },
        { name: "lib/d.bin", kind: "data", content: new Uint8Array([0, 34, 92, 255]) },
        { name: "j.json", kind: "json", content: '{"k":[1]}' },
        { name: "w.wasm", kind: "wasm", content: addWasm },
        { name: "c.cjs", kind: "commonjs", content: "module.exports = { answer: 42 };" },
        { name: "lib/deep.js", kind: "esm", content: `export { name } from "./deeper.js";` },
        { name: "lib/deeper.js", kind: "esm", content: `export const name = "deeper";` },
        { name: "index.js.map", kind: "source-map", content: "{}" },
      ],
      bindings: [
        { type: "plain_text", name: "PLAIN", text: 'a "b" \\ \n\t é \u{1f600}' },
        { type: "secret_text", name: "SECRET", text: "s3cr3t" },
        { type: "json", name: "JSON", json: { list: [1, "two", null], nested: { yes: true } } },
        { type: "version_metadata", name: "VERSION" },
      ],
    },
    { tried: true },
  );
  const answer = JSON.parse(await harness.fetch()) as Record<string, unknown>;
  const { env, ...rest } = answer;
  assert.deepEqual(rest, {
    text: 'quotes " and \\ and\nlines é',
    data: [0, 34, 92, 255],
    json: { k: [1] },
    sum: 5,
    common: 42,
    name: "deeper",
    node: "6869",
    process: 'a "b" \\ \n\t é \u{1f600}',
  });
  const { VERSION, ...variables } = env as Record<string, unknown>;
  assert.deepEqual(variables, {
    PLAIN: 'a "b" \\ \n\t é \u{1f600}',
    SECRET: "s3cr3t",
    JSON: { list: [1, "two", null], nested: { yes: true } },
  });
  assert.equal((VERSION as { id: string }).id, "00000000-0000-4000-8000-000000000001");
});

test("service-worker scripts get their bindings as globals, parts included", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy(
    {
      kind: "service-worker",
      source: `addEventListener("fetch", (event) => event.respondWith((async () => {
        const instance = await WebAssembly.instantiate(ADD);
        return Response.json([PLAIN, TEXT, [...new Uint8Array(DATA)], instance.exports.add(1, 2)]);
      })()));`,
      modules: [
        { name: "text-part", kind: "text", content: "text part" },
        { name: "data-part", kind: "data", content: new Uint8Array([9, 8]) },
        { name: "wasm-part", kind: "wasm", content: addWasm },
      ],
      bindings: [
        { type: "plain_text", name: "PLAIN", text: "plain" },
        { type: "text_blob", name: "TEXT", part: "text-part" },
        { type: "data_blob", name: "DATA", part: "data-part" },
        { type: "wasm_module", name: "ADD", part: "wasm-part" },
      ],
    },
    { tried: true },
  );
  assert.deepEqual(JSON.parse(await harness.fetch()), ["plain", "text part", [9, 8], 3]);
});

test("a prepared version takes over without another start", async () => {
  await using harness = await HostHarness.open();
  await harness.deploy(
    { source: "console.log('loaded'); export default { fetch() { return new Response('1'); } }" },
    { tried: true },
  );
  assert.equal(await harness.fetch(), "1");
  assert.deepEqual(harness.console(), ["loaded"]);
});
