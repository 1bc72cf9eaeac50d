// A Worker's own port, over REST: asked for, shown, refused, taken away, in the audit log.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiHarness, refusal } from "./api-harness.ts";
import { uploadWorker } from "./upload.ts";

interface Hosted {
  readonly listen?: { readonly host: string; readonly port: number; readonly url: string; readonly open: boolean };
}

const source = "export default { fetch() { return new Response('up'); } };";
const path = "/millrace/workers/app/listen";

test("a Worker is given a free port, keeps it, and loses it when it is told to", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "app", { source });
  const { listen } = await harness.must<Hosted>("PUT", path, { port: 0 });
  assert.ok(listen !== undefined);
  const { port } = listen;
  assert.deepEqual(listen, { host: "127.0.0.1", port, url: `http://127.0.0.1:${port}`, open: true });
  assert.deepEqual((await harness.must<Hosted>("GET", "/millrace/workers/app")).listen, listen);
  assert.deepEqual((await harness.must<Hosted>("PUT", path, { port })).listen, listen, "the same again");
  await uploadWorker(harness, "app", { source });
  assert.deepEqual((await harness.must<Hosted[]>("GET", "/millrace/workers"))[0]?.listen, listen, "over a deploy");
  assert.equal((await harness.must<Hosted>("DELETE", path)).listen, undefined);
  assert.equal((await harness.must<Hosted>("DELETE", path)).listen, undefined, "it has none");
  const entries = await harness.must<{ action: string; resource: string; details: unknown }[]>(
    "GET",
    "/millrace/audit",
  );
  assert.deepEqual(
    entries
      .filter(({ action }) => action.endsWith("WorkerPort"))
      .map(({ action, resource, details }) => ({ action, resource, details })),
    [
      { action: "RemoveWorkerPort", resource: "app", details: { host: "127.0.0.1", port } },
      { action: "SetWorkerPort", resource: "app", details: { host: "127.0.0.1", port } },
    ],
  );
});

test("a port is refused that is another Worker's, the server's own, or open to other machines", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "app", { source });
  await uploadWorker(harness, "other", { source });
  const { listen } = await harness.must<Hosted>("PUT", "/millrace/workers/other/listen", { port: 0 });
  const reply = await harness.call("PUT", path, { port: listen?.port });
  assert.equal(refusal(reply), "409 10026");
  assert.match(reply.message, /is the one of Worker other/);
  const own = await harness.call("PUT", path, { port: 8787 });
  assert.equal(refusal(own), "409 10026");
  assert.match(own.message, /the server's own/);
  const open = await harness.call("PUT", path, { port: 0, host: "0.0.0.0" });
  assert.equal(refusal(open), "400 10026");
  assert.match(open.message, /without TLS .*--insecure/);
  for (const body of [{}, { port: -1 }, { port: 65_536 }, { port: "1" }, { port: 1, host: "a b" }, []]) {
    assert.equal(refusal(await harness.call("PUT", path, body)), "400 10026", JSON.stringify(body));
  }
  assert.equal(refusal(await harness.call("PUT", "/millrace/workers/absent/listen", { port: 0 })), "404 10007");
  assert.equal(refusal(await harness.call("DELETE", "/millrace/workers/absent/listen")), "404 10007");
  assert.equal((await harness.must<Hosted>("GET", "/millrace/workers/app")).listen, undefined);
});

test("the port of a deleted Worker can be given to another one", async () => {
  await using harness = await ApiHarness.open();
  await uploadWorker(harness, "app", { source });
  const { listen } = await harness.must<Hosted>("PUT", path, { port: 0 });
  await harness.must("DELETE", "/workers/scripts/app");
  await uploadWorker(harness, "other", { source });
  const given = await harness.must<Hosted>("PUT", "/millrace/workers/other/listen", { port: listen?.port });
  assert.equal(given.listen?.port, listen?.port);
});
