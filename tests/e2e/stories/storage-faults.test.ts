// What happens to the data folder of a real server: what the server says and does, what `millrace doctor` says of the same folder,
// and what is left of the messages. `docs/evidence/storage-faults.md` has the table.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { command, millraceBin, Server, temporaryFolder } from "../support/millrace.ts";
import type { CommandResult, LogEvent } from "../support/millrace.ts";

const bodies = ["message-1", "message-2", "message-3", "message-4", "message-5"];

/** A server with five messages for a pull consumer. */
async function stocked(data: string): Promise<{ readonly server: Server; readonly queue: string }> {
  const server = await Server.start(data);
  const { queue_id: id } = await server.result<{ queue_id: string }>("POST", "/queues", { queue_name: "orders" });
  await server.result("POST", `/queues/${id}/consumers`, { type: "http_pull" });
  const queue = `/queues/${id}`;
  for (const body of bodies) await server.result("POST", `${queue}/messages`, { body, content_type: "text" });
  return { server, queue };
}

async function pulled(server: Server, queue: string): Promise<readonly string[]> {
  const request = { batch_size: 100, visibility_timeout_ms: 60_000 };
  const { messages } = await server.result<{ messages: { body: string }[] }>("POST", `${queue}/messages/pull`, request);
  return messages.map(({ body }) => body).toSorted();
}

async function doctor(data: string, ...flags: readonly string[]): Promise<CommandResult> {
  return await command([millraceBin, "doctor", "--data", data, ...flags], data, {});
}

/** Starts a server that must not start; answers what it said last, and with which code it ended. */
async function refused(data: string): Promise<{ readonly words: string; readonly code: number | null }> {
  const args = [millraceBin, "serve", "--data", data, "--port", "0", "--worker-port", "0", "--log-format", "json"];
  const { code, stdout } = await command(args, "/", {});
  const failed = stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as LogEvent)
    .find(({ event }) => event === "server.failed");
  return { words: JSON.stringify([failed?.["message"], failed?.["remedy"]]), code };
}

function flip(file: string, text: string): void {
  const bytes = readFileSync(file);
  const at = bytes.indexOf(text);
  assert.ok(at > 0, "it is there");
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
}

test("a flipped bit in a message: it is set aside and named, the others are delivered, doctor agrees", async () => {
  await using folder = await temporaryFolder();
  const { server, queue } = await stocked(folder.path);
  await server.stop();
  flip(join(folder.path, "messages.db"), "message-3");
  const deep = await doctor(folder.path, "--deep");
  assert.match(
    deep.stdout,
    /BAD +Messages +orders: stored messages that cannot be read: 1\. Restore the newest backup/,
  );
  assert.equal(deep.code, 1);

  await using again = await Server.start(folder.path);
  assert.deepEqual(await pulled(again, queue), bodies.toSpliced(2, 1));
  const told = await again.event("message.damaged");
  assert.deepEqual([told["queue"], told["count"]], ["orders", 1]);
  const { stdout, code } = await doctor(folder.path);
  assert.match(
    stdout,
    /BAD +Damage +told in .*damage\.log; delete it once that is dealt with:\n.*1 message of queue orders/,
  );
  assert.equal(code, 1);
});

test("a flipped bit in what says where messages stand: a new database is made, the damaged one is kept", async () => {
  await using folder = await temporaryFolder();
  const { server, queue } = await stocked(folder.path);
  await server.stop();
  const path = join(folder.path, "messages.db");
  flip(path, queue.replace("/queues/", "")); // the id of the queue, in one of the tables that have it
  await using again = await Server.start(folder.path);
  assert.deepEqual(await pulled(again, queue), bodies);
  const told = await again.event("storage.damaged");
  assert.match(
    String(told["message"]),
    /A new one was made of all that could be read: 5 messages.*kept as .*messages\.db\.damaged/,
  );
  assert.ok(existsSync(`${path}.damaged`));
  assert.match((await doctor(folder.path)).stdout, /BAD +Damage +told in .*\n.*The database was damaged/);
});

for (const { what, harm } of [
  { what: "deleted", harm: (wal: string) => rmSync(wal) },
  { what: "cut short", harm: (wal: string) => truncateSync(wal, readFileSync(wal).length - 3_000) },
  { what: "flipped at its end", harm: (wal: string) => flip(wal, "message-5") },
]) {
  test(`a write-ahead log that was ${what} after a kill: what is missing is told, the rest is there`, async () => {
    await using folder = await temporaryFolder();
    const { server, queue } = await stocked(folder.path);
    await server.kill();
    harm(join(folder.path, "messages.db-wal"));
    await using again = await Server.start(folder.path);
    const told = await again.event("storage.lost");
    assert.match(String(told["message"]), /The disk has lost the last \d+ entries of the message log.*newest backup/);
    const isThere = (await again.api("GET", queue)).status === 200;
    assert.equal(isThere, what !== "deleted");
    if (isThere) assert.deepEqual(await pulled(again, queue), bodies.slice(0, 4));
    const { stdout, code } = await doctor(folder.path);
    assert.match(stdout, /BAD +Damage +told in .*\n.*The disk has lost/);
    assert.equal(code, 1);
  });
}

test("a database that is garbage is refused in words and left as it is; doctor agrees", async () => {
  await using folder = await temporaryFolder();
  const { server } = await stocked(folder.path);
  await server.stop();
  const path = join(folder.path, "messages.db");
  const garbage = Buffer.alloc(50_000, "no database ");
  writeFileSync(path, garbage);
  const { words, code } = await refused(folder.path);
  assert.match(words, /messages\.db is damaged, and nothing can be read of it.*DATA_DAMAGED.*restore a backup/);
  assert.equal(code, 1);
  assert.match((await doctor(folder.path)).stdout, /BAD +Messages +cannot be checked: .*DATA_DAMAGED/);
  assert.deepEqual(readFileSync(path), garbage);
});

test("a database file deleted while the server runs: the server saves what it has, says so, and ends", async () => {
  await using folder = await temporaryFolder();
  const { server, queue } = await stocked(folder.path);
  const path = join(folder.path, "messages.db");
  for (const suffix of ["", "-wal"]) rmSync(path + suffix);
  const late = await server.api("POST", `${queue}/messages`, { body: "late", content_type: "text" });
  assert.equal(late.body.success, false);
  const failed = await server.event("server.failed");
  assert.match(String(failed["message"]), /was moved, deleted or replaced.*messages\.db\.rescued.*DATA_MOVED/);
  assert.equal(await server.exitCode(), 1);
  // A supervisor that starts it again does not begin anew.
  assert.match((await refused(folder.path)).words, /messages\.db is gone, and .*messages\.db\.rescued has all it held/);
  renameSync(`${path}.rescued`, path);
  await using again = await Server.start(folder.path);
  assert.deepEqual(await pulled(again, queue), bodies);
});

test("a second server on the same folder is refused with the process id of the first", async () => {
  await using folder = await temporaryFolder();
  const { server } = await stocked(folder.path);
  await using _ = server;
  const { words, code } = await refused(folder.path);
  assert.match(words, new RegExp(`in use by the server with process id ${server.ready.pid} \\(DATA_LOCKED\\)`));
  assert.equal(code, 1);
  if (process.platform !== "linux") return;
  rmSync(join(folder.path, "server.json")); // the operating system knows, too
  assert.match((await refused(folder.path)).words, new RegExp(`another server, process id ${server.ready.pid} `));
});

/** A small file system of its own; `undefined`: this user may not mount one. */
async function mounted(
  size: string,
): Promise<(AsyncDisposable & { readonly path: string; remount(how: string): void }) | undefined> {
  const folder = await temporaryFolder();
  const mount = (...args: readonly string[]): void => void execFileSync("/usr/bin/mount", args, { stdio: "pipe" });
  try {
    mount("-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder.path);
  } catch {
    await folder[Symbol.asyncDispose]();
    return undefined;
  }
  return {
    path: folder.path,
    remount: (how) => mount("-o", `remount,${how}`, folder.path),
    [Symbol.asyncDispose]: async () => {
      execFileSync("/usr/bin/umount", ["-l", folder.path]);
      await folder[Symbol.asyncDispose]();
    },
  };
}

test("a full disk: sends are refused with STORAGE_FULL, doctor says so, and everything accepted is there", async (context) => {
  await using disk = await mounted("6m");
  if (disk === undefined) return context.skip("this user may not mount a file system");
  const data = join(disk.path, "data");
  const { server, queue } = await stocked(data);
  let accepted = bodies.length;
  for (let answer = await large(); ; answer = await large()) {
    if (answer.body.success) accepted += 1;
    else {
      assert.match(answer.body.errors[0]?.message ?? "", /STORAGE_FULL\)\. Free space on the disk/);
      break;
    }
  }
  async function large(): ReturnType<Server["api"]> {
    return await server.api("POST", `${queue}/messages`, { body: "x".repeat(100_000), content_type: "text" });
  }
  assert.match((await doctor(data)).stdout, /BAD +Disk +only \d+ MB are free where .*STORAGE_FULL/);
  await server.kill();
  assert.match((await refused(data)).words, /full.*Free space/is);
  disk.remount("size=60m");
  await using again = await Server.start(data);
  const { backlog_count: count } = await again.result<{ backlog_count: number }>("GET", `${queue}/metrics`);
  assert.equal(count, accepted);
  assert.match((await doctor(data, "--deep")).stdout, /ok +Messages +.*all accounted for \(read one by one\)/);
});

test("a read-only file system: the server says so and ends, doctor agrees, and nothing is lost", async (context) => {
  await using disk = await mounted("20m");
  if (disk === undefined) return context.skip("this user may not mount a file system");
  const data = join(disk.path, "data");
  const { server, queue } = await stocked(data);
  await server.stop();
  disk.remount("ro");
  const { words, code } = await refused(data);
  assert.match(words, /read-only.*Make the data folder and all in it writable/);
  assert.equal(code, 1);
  assert.match((await doctor(data)).stdout, /BAD +Data folder +.*read-only.*Make it writable/);
  disk.remount("rw");
  await using again = await Server.start(data);
  assert.deepEqual(await pulled(again, queue), bodies);
});

test("a data folder moved while no server runs is the same data elsewhere; a missing one is begun anew", async () => {
  await using folder = await temporaryFolder();
  mkdirSync(join(folder.path, "one"));
  const { server, queue } = await stocked(join(folder.path, "one"));
  await server.stop();
  renameSync(join(folder.path, "one"), join(folder.path, "two"));
  await using again = await Server.start(join(folder.path, "two"));
  assert.deepEqual(await pulled(again, queue), bodies);
  assert.ok((await stat(join(folder.path, "two", "messages.db"))).isFile());
});
