// Workers over REST: uploads, bindings, versions, deployments, secrets, settings.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiHarness, refusal } from "./api-harness.ts";
import { bothHandlers, sendForm, upload, uploadWorker } from "./upload.ts";

interface Settings {
  readonly bindings: readonly { readonly name: string; readonly type: string; readonly [field: string]: unknown }[];
}

const settingsOf = async (harness: ApiHarness, name: string): Promise<Settings> =>
  await harness.must<Settings>("GET", `/workers/scripts/${name}/settings`);

test("a Worker that does not exist is 10007 wherever wrangler asks", async () => {
  await using harness = await ApiHarness.open();
  for (const path of [
    "/workers/services/absent",
    "/workers/scripts/absent/secrets",
    "/workers/scripts/absent/deployments",
    "/workers/scripts/absent/versions",
    "/workers/scripts/absent/settings",
    "/workers/scripts/absent/script-settings",
    "/workers/scripts/absent/subdomain",
    "/workers/workers/absent",
  ]) {
    assert.equal(refusal(await harness.call("GET", path)), "404 10007", path);
  }
  assert.equal(refusal(await harness.call("DELETE", "/workers/services/absent?force=true")), "404 10007");
});

test("an upload is tried, stored and deployed, with modules and bindings of every kind", async () => {
  await using harness = await ApiHarness.open();
  await harness.queue("events");
  const { result } = await uploadWorker(harness, "my-app", {
    bindings: [
      { type: "queue", name: "EVENTS", queue_name: "events", delivery_delay: 5 },
      { type: "plain_text", name: "GREETING", text: "hello" },
      { type: "json", name: "CONFIG", json: { deep: [1, null] } },
      { type: "secret_text", name: "KEY", text: "s3cret" },
      { type: "version_metadata", name: "VERSION" },
    ],
    modules: {
      "lib/text.txt": { content: "text", type: "text/plain" },
      "./data.bin": { content: new Uint8Array([0, 255, 1]), type: "application/octet-stream" },
      "add.wasm": { content: new Uint8Array([0, 0x61, 0x73, 0x6d]), type: "application/wasm" },
      "index.js.map": { content: "{}", type: "application/source-map" },
    },
  });
  const uploaded = result as Record<string, unknown>;
  assert.match(
    String(uploaded["deployment_id"]),
    /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
  assert.equal(uploaded["startup_time_ms"], 5);
  assert.deepEqual(uploaded["handlers"], ["fetch", "queue"]);

  const [version] = harness.host.prepared;
  assert.deepEqual(
    version?.modules.map(({ name, kind, bytes }) => [name, kind, bytes]),
    [
      ["index.js", "esm", bothHandlers.length],
      ["lib/text.txt", "text", 4],
      ["./data.bin", "data", 3],
      ["add.wasm", "wasm", 4],
      ["index.js.map", "source-map", 2],
    ],
  );
  for (const { blob, bytes } of version.modules) {
    assert.equal((await harness.engine.catalog.getBlob(blob))?.byteLength, bytes);
  }
  assert.deepEqual((await settingsOf(harness, "my-app")).bindings, [
    { name: "EVENTS", type: "queue", queue_name: "events", delivery_delay: 5 },
    { name: "GREETING", type: "plain_text", text: "hello" },
    { name: "CONFIG", type: "json", json: { deep: [1, null] } },
    { name: "KEY", type: "secret_text" },
    { name: "VERSION", type: "version_metadata" },
  ]);
  const [queue] = await harness.must<[{ producers: unknown; producers_total_count: number }]>(
    "GET",
    "/queues?name=events",
  );
  assert.deepEqual([queue.producers, queue.producers_total_count], [[{ type: "worker", script: "my-app" }], 1]);
});

test("bindings that do not exist here are refused by name and type, all at once", async () => {
  await using harness = await ApiHarness.open();
  const reply = await upload(harness, "my-app", {
    bindings: [
      { type: "kv_namespace", name: "CACHE", namespace_id: "x" },
      { type: "r2_bucket", name: "FILES", bucket_name: "x" },
      { type: "plain_text", name: "FINE", text: "x" },
      { type: "from_the_future", name: "NEW" },
    ],
  });
  assert.equal(refusal(reply), "400 10021");
  const messages = reply.envelope.errors.map(({ message }) => message);
  assert.equal(messages.length, 3);
  assert.match(messages[0] ?? "", /Binding CACHE has type kv_namespace, `kv_namespaces` in the Wrangler configuration/);
  assert.match(messages[1] ?? "", /Binding FILES has type r2_bucket.*Remove the binding/);
  assert.match(messages[2] ?? "", /Binding NEW has type from_the_future/);
  assert.equal(harness.host.prepared.length, 0);
});

test("faulty bindings are refused", async () => {
  await using harness = await ApiHarness.open();
  const attempt = async (...bindings: object[]) => refusal(await upload(harness, "my-app", { bindings }));
  assert.equal(await attempt({ type: "queue", name: "Q", queue_name: "absent" }), "404 11000");
  assert.equal(await attempt({ type: "queue", name: "Q" }), "400 10021");
  assert.equal(await attempt({ type: "plain_text", name: "V" }), "400 10021");
  assert.equal(await attempt({ type: "json", name: "V" }), "400 10021");
  assert.equal(
    await attempt({ type: "plain_text", name: "V", text: "1" }, { type: "plain_text", name: "V", text: "2" }),
    "400 10021",
  );
  assert.equal(await attempt({ name: "V" }), "400 10021");
  assert.equal(await attempt({ type: "plain_text", name: "", text: "" }), "400 10021");
  assert.equal(await attempt({ type: "text_blob", name: "V", part: "absent" }), "400 10021");
});

test("inherited bindings are copied from the version before; missing ones are named as wrangler reads them", async () => {
  await using harness = await ApiHarness.open();
  await harness.queue("events");
  await uploadWorker(harness, "my-app", { bindings: [{ type: "queue", name: "EVENTS", queue_name: "events" }] });
  await uploadWorker(harness, "my-app", { bindings: [{ type: "inherit", name: "EVENTS" }], to: "version" });
  assert.deepEqual((await settingsOf(harness, "my-app")).bindings, [
    { name: "EVENTS", type: "queue", queue_name: "events" },
  ]);
  const missing = await upload(harness, "my-app", {
    bindings: [
      { type: "inherit", name: "A" },
      { type: "inherit", name: "B" },
    ],
    to: "version",
  });
  assert.equal(refusal(missing), "400 10057");
  assert.deepEqual(
    missing.envelope.errors.map(({ message }) => /^inherit binding '(.+?)' is invalid/.exec(message)?.[1]),
    ["A", "B"],
  );
});

test("keep_bindings keeps what the upload does not name", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app", {
    bindings: [
      { type: "secret_text", name: "KEY", text: "1" },
      { type: "secret_text", name: "OTHER", text: "1" },
      { type: "plain_text", name: "VAR", text: "1" },
    ],
  });
  await uploadWorker(harness, "my-app", {
    bindings: [{ type: "plain_text", name: "OTHER", text: "2" }],
    metadata: { keep_bindings: ["secret_text", "secret_key"] },
  });
  assert.deepEqual((await settingsOf(harness, "my-app")).bindings, [
    { name: "OTHER", type: "plain_text", text: "2" },
    { name: "KEY", type: "secret_text" },
  ]);
  await uploadWorker(harness, "my-app", {});
  assert.deepEqual((await settingsOf(harness, "my-app")).bindings, []);
});

test("a script that does not load is refused and the version before keeps running", async () => {
  await using harness = await ApiHarness.open();
  const { result } = await uploadWorker(harness, "my-app");
  const reply = await upload(harness, "my-app", { source: "syntax error" });
  assert.equal(refusal(reply), "400 10021");
  assert.match(reply.message, /SyntaxError: Unexpected identifier/);
  const { deployments } = await harness.must<{ deployments: { versions: { version_id: string }[] }[] }>(
    "GET",
    "/workers/scripts/my-app/deployments",
  );
  assert.deepEqual(
    deployments.map(({ versions }) => versions[0]?.version_id),
    [(result as { deployment_id: string }).deployment_id],
  );
});

test("a consuming Worker cannot lose its queue handler", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  await uploadWorker(harness, "my-app");
  await harness.must("POST", `${path}/consumers`, { type: "worker", script_name: "my-app" });
  const source = "export default { fetch() {} }";
  assert.equal(refusal(await upload(harness, "my-app", { source })), "400 11001");
  const { result } = await uploadWorker(harness, "my-app", { source, to: "version" });
  const deploy = { strategy: "percentage", versions: [{ version_id: (result as { id: string }).id, percentage: 100 }] };
  assert.equal(refusal(await harness.call("POST", "/workers/scripts/my-app/deployments", deploy)), "400 11001");
});

test("malformed uploads are refused in words", async () => {
  await using harness = await ApiHarness.open();
  const send = async (raw: string | Buffer, type = "multipart/form-data; boundary=x") =>
    refusal(
      await harness.call("PUT", "/workers/scripts/my-app", undefined, { raw, headers: { "content-type": type } }),
    );
  assert.equal(await send("{}", "application/json"), "400 10026");
  assert.equal(await send("nonsense"), "400 10026");
  assert.equal(await send("--x\r\n"), "400 10026");
  assert.equal(await send("--x\r\n", "multipart/form-data"), "400 10026");
  const form = (...entries: readonly (readonly [string, string | File])[]): FormData => {
    const filled = new FormData();
    for (const [name, value] of entries) filled.append(name, value);
    return filled;
  };
  const module = (name: string) => [name, new File(["x"], name, { type: "application/javascript+module" })] as const;
  const sendParts = async (...entries: readonly (readonly [string, string | File])[]) =>
    await sendForm(harness, "PUT", "/workers/scripts/my-app", form(...entries));
  const metadata = ["metadata", '{"main_module":"index.js"}'] as const;
  assert.match((await sendParts(module("index.js"))).message, /no part named metadata/);
  assert.match((await sendParts(metadata, metadata, module("index.js"))).message, /two parts named metadata/);
  assert.match(
    (await sendParts(metadata, module("index.js"), module("index.js"))).message,
    /two parts named "index.js"/,
  );
  assert.match(
    (await sendParts(metadata, module("other.js"))).message,
    /main_module names "index.js", which is not among/,
  );
  assert.match((await sendParts(["metadata", "{"], module("index.js"))).message, /not JSON/);
  assert.match(
    (await sendParts(["metadata", "{}"], module("index.js"))).message,
    /expected one of main_module and body_part/,
  );
  for (const name of ["../x.js", "/etc/x.js", "a/../../x.js", "a//b.js", "a\\b.js", "x".repeat(600)]) {
    const reply = await sendParts(metadata, module("index.js"), module(name));
    assert.equal(refusal(reply), "400 10021", name);
  }
  const odd = await sendParts(metadata, module("index.js"), [
    "a.py",
    new File(["x"], "a.py", { type: "text/x-python" }),
  ]);
  assert.match(odd.message, /a\.py is Python, which Millrace does not run/);
  const bytes = new File([new Uint8Array([0xff, 0xfe])], "index.js", { type: "application/javascript+module" });
  assert.match((await sendParts(metadata, ["index.js", bytes])).message, /index\.js is not UTF-8/);
  for (const name of ["-x", "a.b", "a b", "x".repeat(64), "..%2fx"]) {
    assert.equal(refusal(await upload(harness, name)), "400 10016", name);
  }
});

test("modules may come in fields of any name, with the file's name, as other clients send them", async () => {
  await using harness = await ApiHarness.open();
  const form = new FormData();
  form.append("metadata", new File(['{"main_module":"index.js"}'], "metadata.json", { type: "application/json" }));
  form.append("files[]", new File([bothHandlers], "index.js", { type: "application/javascript+module" }));
  form.append("files[]", new File(["x"], "lib/a.txt", { type: "text/plain; charset=utf-8" }));
  assert.equal((await sendForm(harness, "PUT", "/workers/scripts/my-app", form)).status, 200);
  const other = new FormData();
  other.append("metadata", '{"main_module":"script"}');
  other.append("script", new File([bothHandlers], "worker.mjs", { type: "application/javascript+module" }));
  assert.equal((await sendForm(harness, "PUT", "/workers/scripts/other", other)).status, 200);
  assert.deepEqual(
    harness.host.prepared.map(({ main_module, modules, compatibility_date }) => [
      main_module,
      modules.map(({ name }) => name),
      compatibility_date,
    ]),
    [
      ["index.js", ["index.js", "lib/a.txt"], "2021-11-02"],
      ["script", ["script"], "2021-11-02"],
    ],
  );
});

test("what nothing here could honour is refused, what is only stored is told", async () => {
  await using harness = await ApiHarness.open();
  for (const metadata of [
    { migrations: { new_tag: "v1", steps: [{ new_classes: ["A"] }] } },
    { assets: { jwt: "x" } },
    { tail_consumers: [{ service: "x" }] },
    { containers: [{ class_name: "X" }] },
  ]) {
    assert.equal(refusal(await upload(harness, "my-app", { metadata })), "400 10026", JSON.stringify(metadata));
  }
  const { envelope } = await uploadWorker(harness, "my-app", {
    metadata: { limits: { cpu_ms: 5 }, logpush: true, observability: { enabled: true }, from_the_future: 1 },
  });
  assert.match(envelope.messages.join("\n"), /limits are stored/);
  assert.match(envelope.messages.join("\n"), /metadata\.from_the_future is not known here/);
  const settings = await harness.must<Record<string, unknown>>("GET", "/workers/scripts/my-app/settings");
  assert.deepEqual(settings["limits"], { cpu_ms: 5 });
  assert.deepEqual(settings["observability"], { enabled: true });
});

test("versions are uploaded, listed, shown and deployed; one runs at a time", async () => {
  await using harness = await ApiHarness.open();
  const first = ((await uploadWorker(harness, "my-app")).result as { deployment_id: string }).deployment_id;
  const { result } = await uploadWorker(harness, "my-app", {
    to: "version",
    metadata: { annotations: { "workers/tag": "v2" } },
  });
  const second = result as {
    id: string;
    number: number;
    annotations: Record<string, string>;
    resources: { script: { etag: string } };
  };
  assert.equal(second.number, 2);
  assert.equal(second.annotations["workers/tag"], "v2");
  assert.match(second.resources.script.etag, /^[0-9a-f]{64}$/);
  const { items } = await harness.must<{ items: { id: string }[] }>(
    "GET",
    "/workers/scripts/my-app/versions?deployable=true",
  );
  assert.deepEqual(
    items.map(({ id }) => id),
    [second.id, first],
  );
  const running = async () => {
    const { deployments } = await harness.must<{ deployments: { versions: object[] }[] }>(
      "GET",
      "/workers/scripts/my-app/deployments",
    );
    return deployments.map(({ versions }) => versions);
  };
  assert.deepEqual(await running(), [[{ version_id: first, percentage: 100 }]]);
  const deploy = async (...versions: object[]) =>
    await harness.call("POST", "/workers/scripts/my-app/deployments", { strategy: "percentage", versions });
  const created = await deploy({ version_id: second.id, percentage: 100 });
  assert.equal(created.status, 200);
  assert.deepEqual(
    await harness.must("GET", `/workers/scripts/my-app/deployments/${(created.result as { id: string }).id}`),
    created.result,
  );
  assert.deepEqual((await running())[0], [{ version_id: second.id, percentage: 100 }]);
  assert.equal((await deploy({ version_id: first, percentage: 100 })).status, 200);
  const split = await deploy({ version_id: first, percentage: 90 }, { version_id: second.id, percentage: 10 });
  assert.match(split.message, /one version of a Worker at a time/);
  assert.equal(refusal(await deploy({ version_id: first, percentage: 50 })), "400 10026");
  assert.equal(refusal(await deploy({ version_id: "absent", percentage: 100 })), "404 10007");
  assert.equal(refusal(await deploy()), "400 10026");
});

test("secrets make new versions, are never shown, and wait for the newest version to be deployed", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app", { bindings: [{ type: "plain_text", name: "VAR", text: "x" }] });
  const path = "/workers/scripts/my-app";
  const secret = { name: "KEY", text: "s3cret", type: "secret_text" };
  assert.deepEqual(await harness.must("PUT", `${path}/secrets`, secret), { name: "KEY", type: "secret_text" });
  assert.deepEqual(await harness.must("GET", `${path}/secrets`), [{ name: "KEY", type: "secret_text" }]);
  assert.deepEqual(
    harness.host.prepared.at(-1)?.bindings.find(({ name }) => name === "KEY"),
    {
      type: "secret_text",
      name: "KEY",
      text: "s3cret",
    },
  );
  assert.equal(refusal(await harness.call("PUT", `${path}/secrets`, { ...secret, name: "VAR" })), "400 10021");
  const bulk = { secrets: { A: { name: "A", text: "1", type: "secret_text" }, KEY: null } };
  assert.deepEqual(await harness.must("PATCH", `${path}/secrets-bulk`, bulk), [{ name: "A", type: "secret_text" }]);
  assert.equal(await harness.must("DELETE", `${path}/secrets/A?url_encoded=true`), null);
  assert.equal(refusal(await harness.call("DELETE", `${path}/secrets/A`)), "404 10056");
  const { deployments } = await harness.must<{ deployments: unknown[] }>("GET", `${path}/deployments`);
  assert.equal(deployments.length, 4);

  await uploadWorker(harness, "my-app", { to: "version" });
  assert.equal(refusal(await harness.call("PUT", `${path}/secrets`, secret)), "400 10215");
  const patched = await harness.must<{ id: string }>("PATCH", "/workers/workers/my-app/versions/latest", {
    env: { KEY: { type: "secret_text", text: "new" } },
    annotations: { "workers/message": "why" },
  });
  const version = await harness.must<{ annotations: object; resources: { bindings: unknown } }>(
    "GET",
    `${path}/versions/${patched.id}`,
  );
  assert.deepEqual(version.resources.bindings, [{ name: "KEY", type: "secret_text" }]);
  assert.deepEqual(version.annotations, { "workers/message": "why", "workers/triggered_by": "secret" });
});

test("deleting a Worker forgets its versions, its modules and what it consumed", async () => {
  await using harness = await ApiHarness.open();
  const path = await harness.queue("events");
  await uploadWorker(harness, "my-app");
  await uploadWorker(harness, "other", { source: `${bothHandlers} // other` });
  await harness.must("POST", `${path}/consumers`, { type: "worker", script_name: "my-app" });
  const blobs = harness.host.prepared.map(({ modules }) => modules[0]?.blob ?? "");
  assert.equal(await harness.must("DELETE", "/workers/services/my-app?force=false"), null);
  assert.deepEqual(await harness.must("GET", `${path}/consumers`), []);
  assert.equal(await harness.engine.catalog.getBlob(blobs[0] ?? ""), undefined);
  assert.notEqual(await harness.engine.catalog.getBlob(blobs[1] ?? ""), undefined);
  assert.equal(harness.controlPlane.view.versionsOf("my-app" as never).length, 0);
});

test("subdomain, schedules and settings answer; cron triggers are refused", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "my-app");
  const path = "/workers/scripts/my-app";
  const worker = await harness.must<{ subdomain: object }>("GET", "/workers/workers/my-app");
  assert.deepEqual(worker.subdomain, { enabled: true, previews_enabled: false, url: "http://my-app.localhost:8787" });
  assert.deepEqual(await harness.must("POST", `${path}/subdomain`, { enabled: false }), {
    enabled: false,
    previews_enabled: false,
  });
  assert.deepEqual(await harness.must("GET", `${path}/subdomain`), { enabled: false, previews_enabled: false });
  assert.deepEqual(await harness.must("PUT", `${path}/schedules`, []), { schedules: [] });
  const cron = await harness.call("PUT", `${path}/schedules`, [{ cron: "*/5 * * * *" }]);
  assert.equal(refusal(cron), "400 10026");
  assert.match(cron.message, /no cron triggers \(`triggers\.crons`: "\*\/5 \* \* \* \*"\)/);
  const patched = await harness.must<object>("PATCH", `${path}/script-settings`, {
    tags: ["cf:service=my-app"],
    observability: { enabled: true },
  });
  assert.deepEqual(patched, {
    logpush: false,
    tags: ["cf:service=my-app"],
    tail_consumers: null,
    observability: { enabled: true },
  });
  const service = await harness.must<{
    default_environment: { environment: string; script: { tags: string[]; last_deployed_from: string } };
  }>("GET", "/workers/services/my-app");
  assert.equal(service.default_environment.environment, "production");
  assert.deepEqual(service.default_environment.script.tags, ["cf:service=my-app"]);
  assert.equal(service.default_environment.script.last_deployed_from, "wrangler");
});

test("settings are changed without uploading modules again", async () => {
  await using harness = await ApiHarness.open();
  await harness.queue("events");
  await uploadWorker(harness, "my-app", {
    bindings: [{ type: "secret_text", name: "KEY", text: "s3cret" }],
    modules: { "a.txt": { content: "text", type: "text/plain" } },
  });
  const change = async (settings: object) => {
    const form = new FormData();
    form.set("settings", JSON.stringify(settings));
    return await sendForm(harness, "PATCH", "/workers/scripts/my-app/settings", form);
  };
  const reply = await change({
    bindings: [
      { type: "inherit", name: "KEY" },
      { type: "queue", name: "EVENTS", queue_name: "events" },
    ],
    compatibility_date: "2026-09-01",
  });
  assert.equal(reply.status, 200, reply.message);
  const version = harness.host.prepared.at(-1);
  assert.deepEqual(
    version?.bindings.map(({ name }) => name),
    ["KEY", "EVENTS"],
  );
  assert.deepEqual([version.compatibility_date, version.modules.length], ["2026-09-01", 2]);
  assert.equal((await settingsOf(harness, "my-app")).bindings.length, 2);
  assert.equal(refusal(await change({ bindings: [{ type: "inherit", name: "ABSENT" }] })), "400 10057");
  assert.equal(refusal(await change({ compatibility_date: "yesterday" })), "400 10021");
  await uploadWorker(harness, "my-app", { to: "version" });
  assert.equal(refusal(await change({})), "400 10215");
});
