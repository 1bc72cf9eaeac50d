// The example's mail service: takes mails, and can be told to be down.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startMailService } from "../mail/server.ts";

test("sends mails, refuses them while it is down, and tells", async () => {
  const told: string[] = [];
  await using service = await startMailService(0, (line) => told.push(line));
  const post = async (path: string, body?: object): Promise<number> => {
    const response = await fetch(`${service.url}${path}`, { method: "POST", body: body ? JSON.stringify(body) : null });
    await response.text();
    return response.status;
  };
  const mail = (userId: string): object => ({ template: "welcome-email", userId });

  assert.equal(await post("/mails", mail("ada")), 202);
  assert.equal(await post("/down?user=bob"), 200);
  assert.equal(await post("/mails", mail("bob")), 503);
  assert.equal(await post("/mails", mail("ada")), 202);
  assert.equal(await post("/down"), 200);
  assert.equal(await post("/mails", mail("ada")), 503);
  assert.equal(await post("/up"), 200);
  assert.equal(await post("/mails", mail("bob")), 202);
  assert.equal(await post("/mails", {}), 400);
  assert.equal(await post("/mails"), 400);
  assert.equal(await post("/elsewhere"), 404);
  const sent = await (await fetch(`${service.url}/mails`)).json();
  assert.deepEqual(sent, [mail("ada"), mail("ada"), mail("bob")]);
  assert.deepEqual(told, [
    "welcome-email for ada sent (1 so far)",
    "goes down for bob",
    "is down: no welcome-email for bob",
    "welcome-email for ada sent (2 so far)",
    "goes down",
    "is down: no welcome-email for ada",
    "is up again",
    "welcome-email for bob sent (3 so far)",
  ]);
});
