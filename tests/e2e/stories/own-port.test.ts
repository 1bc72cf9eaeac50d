// A port of a Worker's own, with the real program: given by command, kept over deploys, rollbacks, kills and restarts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Server, temporaryFolder, token } from "../support/millrace.ts";

async function deploy(server: Server, text: string): Promise<void> {
  const form = new FormData();
  const source = `export default { fetch() { return new Response(${JSON.stringify(text)}); } };`;
  form.set("metadata", JSON.stringify({ main_module: "index.js", compatibility_date: "2026-10-01", bindings: [] }));
  form.set("index.js", new File([source], "index.js", { type: "application/javascript+module" }));
  const response = await fetch(`${server.ready.api}/accounts/${server.ready.account_id}/workers/scripts/my-app`, {
    method: "PUT",
    headers: { authorization: `Bearer ${token}` },
    body: form,
  });
  assert.equal(response.status, 200, await response.text());
}

/** Asks until the version before has left the port. */
async function answers(url: string, text: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (let inARow = 0; inARow < 20;) {
    const response = await fetch(url, { headers: { connection: "close" } });
    inARow = (await response.text()) === text ? inARow + 1 : 0;
    assert.ok(Date.now() < deadline, `${url} does not answer ${text}`);
  }
}

test("a Worker keeps its own port through deploys, a rollback, kill -9 and a restart, until it is deleted", async () => {
  await using folder = await temporaryFolder();
  let url = "";
  {
    await using server = await Server.start(folder.path);
    await deploy(server, "one");
    const given = await server.millrace(folder.path, "workers", "listen", "my-app", "--listen-port", "0", "--json");
    assert.equal(given.code, 0, given.stderr);
    ({ url } = (JSON.parse(given.stdout) as { readonly listen: { readonly url: string } }).listen);
    assert.equal((await server.event("worker.listening"))["url"], url);
    await answers(url, "one");
    await deploy(server, "two");
    await answers(url, "two");
    const back = await server.millrace(folder.path, "workers", "rollback", "my-app");
    assert.equal(back.code, 0, back.stderr);
    await answers(url, "one");
    await server.kill();
  }
  {
    await using server = await Server.start(folder.path);
    assert.equal((await server.event("worker.listening"))["url"], url);
    await answers(url, "one");
    assert.equal(await server.stop(), 0);
    await assert.rejects(fetch(url), "nobody listens any more");
  }
  {
    await using server = await Server.start(folder.path);
    await server.event("worker.listening");
    await answers(url, "one");
    await server.result("DELETE", "/workers/scripts/my-app");
    assert.equal((await server.event("worker.listenEnded"))["url"], url);
  }
});
