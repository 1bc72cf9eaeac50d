// `wrangler deploy` against this server. Expectations recorded with wrangler 4.153.0 and 4.164.0 in November 2026.
import assert from "node:assert/strict";
import { test } from "node:test";

import { WranglerHarness } from "./wrangler-harness.ts";

const source = `
  import text from "./hello.txt";
  import data from "./data.bin";
  import module from "./empty.wasm";
  export default {
    async fetch(request, env) { await env.EVENTS.send({ text, data, module, greeting: env.GREETING }); return new Response("ok"); },
    async queue(batch) { for (const message of batch.messages) message.ack(); },
  };`;

const config = {
  name: "my-app",
  main: "index.js",
  compatibility_date: "2026-10-01",
  vars: { GREETING: "hello", CONFIG: { deep: [1] } },
  queues: {
    producers: [{ binding: "EVENTS", queue: "events" }],
    consumers: [
      {
        queue: "events",
        max_batch_size: 7,
        max_batch_timeout: 0,
        max_retries: 2,
        dead_letter_queue: "events-dlq",
        max_concurrency: 4,
        retry_delay: 9,
      },
    ],
  },
};

const files = {
  "index.js": source,
  "hello.txt": "hello",
  "data.bin": "\u0001\u0002",
  "empty.wasm": "\0asm\u0001\0\0\0",
};

async function consumerOf(
  harness: WranglerHarness,
  queue: string,
): Promise<{ settings: object; dead_letter_queue: string } | undefined> {
  const [found] = await harness.api.must<{ consumers: { settings: object; dead_letter_queue: string }[] }[]>(
    "GET",
    `/queues?name=${queue}`,
  );
  return found?.consumers[0];
}

test("a first deploy creates the queue, uploads every module, attaches the consumer and makes the dead letter queue", async () => {
  await using harness = await WranglerHarness.open();
  const project = await harness.project("app", { "wrangler.jsonc": config, ...files });
  const output = await harness.must("deploy", { in: project });
  assert.match(output, /EVENTS provisioned/);
  assert.match(output, /Worker Startup Time: 5 ms/);
  assert.match(output, /env\.EVENTS \(events\)\s+Queue/);
  assert.match(
    output,
    /my-app\.localhost\n\s+Producer for events\n\s+Consumer for events\nCurrent Version ID: [0-9a-f-]{36}/,
  );
  assert.deepEqual(
    harness.requests.map((request) => request.replaceAll(/[0-9a-f]{32}/g, "ID")),
    [
      "GET /workers/services/my-app",
      "GET /workers/scripts/my-app/secrets",
      "GET /workers/subdomain",
      "GET /workers/scripts/my-app/deployments",
      "GET /workers/scripts/my-app/settings",
      "GET /queues?name=events&page=1",
      "GET /queues?page=1",
      "POST /queues",
      "PUT /workers/scripts/my-app?excludeScript=true&bindings_inherit=strict",
      "GET /workers/workers/my-app",
      "POST /workers/scripts/my-app/subdomain",
      "GET /queues?page=1&name=events",
      "GET /queues?page=1&name=events",
      "POST /queues/ID/consumers",
    ],
  );
  const [version] = harness.api.host.prepared;
  assert.deepEqual(
    version?.modules.map(({ name, kind }) => [name.replace(/^.*-/, ""), kind]),
    [
      ["index.js", "esm"],
      ["hello.txt", "text"],
      ["data.bin", "data"],
      ["empty.wasm", "wasm"],
      ["index.js.map", "source-map"],
    ],
  );
  assert.deepEqual(
    await consumerOf(harness, "events").then((consumer) => [consumer?.settings, consumer?.dead_letter_queue]),
    [{ batch_size: 7, max_retries: 2, max_wait_time_ms: 0, max_concurrency: 4, retry_delay: 9 }, "events-dlq"],
  );
  assert.equal((await harness.api.must<unknown[]>("GET", "/queues?name=events-dlq")).length, 1);

  // Again: bindings are inherited, secrets kept, settings that are gone go back to their defaults.
  await harness.must("secret put KEY", { in: project, stdin: "s3cret" });
  const shorter = { ...config, queues: { ...config.queues, consumers: [{ queue: "events", max_batch_size: 8 }] } };
  await harness.project("app", { "wrangler.jsonc": shorter });
  harness.requests.length = 0;
  const again = await harness.must("deploy", { in: project });
  assert.match(again, /env\.EVENTS \(inherited\)/);
  assert.ok(harness.requests.includes("POST /workers/scripts/my-app/versions?bindings_inherit=strict"));
  assert.deepEqual(
    await consumerOf(harness, "events").then((consumer) => [consumer?.settings, consumer?.dead_letter_queue]),
    [{ batch_size: 8, max_retries: 3, max_wait_time_ms: 5_000, max_concurrency: null, retry_delay: 0 }, ""],
  );
  const bindings = harness.api.host.prepared.at(-1)?.bindings.map(({ name, type }) => `${name} ${type}`);
  assert.deepEqual(bindings?.toSorted(), ["CONFIG json", "EVENTS queue", "GREETING plain_text", "KEY secret_text"]);
  assert.match(await harness.must("triggers deploy", { in: project }), /Consumer for events/);

  assert.match(await harness.must("delete --force", { in: project }), /Successfully deleted my-app/);
  assert.equal(await consumerOf(harness, "events"), undefined);
  assert.match(await harness.refused("delete --force", { in: project }), /Worker my-app does not exist/);
});

// No wrangler looks at consumers that its configuration does not name: neither a call nor a line of its output is about them
// (4.153.0, 4.164.0 and the sources of August 2026).
test("a consumer that the configuration names no more stays attached until it is removed, as on Cloudflare", async () => {
  await using harness = await WranglerHarness.open();
  const project = await harness.project("app", { "wrangler.jsonc": config, ...files });
  await harness.must("deploy", { in: project });
  const { producers } = config.queues;
  await harness.project("app", { "wrangler.jsonc": { ...config, queues: { producers } } });
  harness.requests.length = 0;
  assert.doesNotMatch(await harness.must("deploy", { in: project }), /Consumer for/);
  assert.deepEqual(
    harness.requests.filter((request) => request.includes("/consumers")),
    [],
  );
  assert.notEqual(await consumerOf(harness, "events"), undefined);

  await harness.project("app", { "index.js": "export default { fetch() { return new Response() } }" });
  assert.match(
    await harness.refused("deploy", { in: project }),
    /exports no queue handler; a consumer that the configuration names no more is\s+detached with wrangler queues consumer remove/,
  );
  await harness.must("queues consumer remove events my-app", { in: project });
  assert.equal(await consumerOf(harness, "events"), undefined);
  await harness.must("deploy", { in: project });
});

test("a producer without a queue gets one named after Worker and binding", async () => {
  await using harness = await WranglerHarness.open();
  const queues = { producers: [{ binding: "JOBS_Q" }] };
  const project = await harness.project("app", { "wrangler.jsonc": { ...config, queues }, ...files });
  await harness.must("deploy", { in: project });
  assert.equal((await harness.api.must<unknown[]>("GET", "/queues?name=my-app-jobs-q")).length, 1);
  await harness.must("deploy", { in: project });
});

test("a missing queue aborts: of a consumer always, of a producer when nothing may be provisioned", async () => {
  await using harness = await WranglerHarness.open();
  const consumerOnly = { consumers: [{ queue: "absent" }] };
  const project = await harness.project("app", { "wrangler.jsonc": { ...config, queues: consumerOnly }, ...files });
  assert.match(
    await harness.refused("deploy", { in: project }),
    /Queue "absent" does not exist\. To create it, run: wrangler queues create absent/,
  );
  assert.deepEqual(
    harness.requests.filter((request) => request.startsWith("PUT")),
    [],
  );
  await harness.project("app", { "wrangler.jsonc": config });
  assert.match(await harness.refused("deploy --no-x-provision", { in: project }), /Queue "events" does not exist/);
});

test("what cannot work is refused with its reason", async () => {
  await using harness = await WranglerHarness.open();
  const project = await harness.project("app", { "wrangler.jsonc": config, ...files });
  const refusedWith = async (changes: object): Promise<string> => {
    await harness.project("app", { "wrangler.jsonc": { ...config, ...changes } });
    return await harness.refused("deploy", { in: project });
  };
  assert.match(
    await refusedWith({ kv_namespaces: [{ binding: "CACHE", id: "0".repeat(32) }] }),
    /Binding CACHE has type kv_namespace, `kv_namespaces` in the Wrangler configuration: Millrace does not\s+have it.*\[code: 10021\]/s,
  );
  assert.match(await refusedWith({ triggers: { crons: ["*/5 * * * *"] } }), /Millrace has no cron triggers/);
  assert.match(
    await refusedWith({ queues: { ...config.queues, consumers: [{ queue: "events", max_batch_size: 500 }] } }),
    /settings\.batch_size: expected a whole number of messages from 1 to 100, got 500/,
  );
  // The queue has this Worker as its consumer by now.
  await harness.project("app", { "wrangler.jsonc": config });
  await harness.must("deploy", { in: project });
  assert.match(await refusedWith({ name: "second" }), /already has a consumer: the Worker my-app.*\[code: 11004\]/s);
  await harness.project("app", {
    "wrangler.jsonc": config,
    "index.js": "export default { fetch() { return new Response() } }",
  });
  assert.match(
    await harness.refused("deploy", { in: project }),
    /consumes events, but this version exports no queue handler.*\[code: 11001\]/s,
  );
  await harness.project("app", { "index.js": "export default { fetch() { return new Response() } } // syntax error" });
});

test("environments are Workers of their own, with tags", async () => {
  await using harness = await WranglerHarness.open();
  const env = { staging: { queues: { producers: [{ binding: "EVENTS", queue: "events-staging" }] } } };
  const project = await harness.project("app", { "wrangler.jsonc": { ...config, env }, ...files });
  await harness.must("deploy --env staging", { in: project });
  const worker = await harness.api.must<{ tags: string[] }>("GET", "/workers/scripts/my-app-staging/script-settings");
  assert.deepEqual(worker.tags.toSorted(), ["cf:environment=staging", "cf:service=my-app"]);
});
