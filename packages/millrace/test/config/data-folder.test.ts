// The identity of a data folder: made once, private, the same for everybody.
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isOpenToOthers, openDataFolder } from "../../src/config/index.ts";
import type { DataFolderOptions } from "../../src/config/index.ts";
import type { Random } from "../../src/core/index.ts";

const random: Random = { bytes: (count) => crypto.getRandomValues(new Uint8Array(count)) };

async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "millrace-data-"));
  return { path, [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true }) };
}

const options = (path: string, changes: Partial<DataFolderOptions> = {}): DataFolderOptions => ({
  path,
  accountId: undefined,
  token: undefined,
  random,
  ...changes,
});

test("a new folder gets an account and a token, for its owner alone", async () => {
  await using temporary = await temporaryFolder();
  const path = join(temporary.path, "deep", ".millrace");
  const made = await openDataFolder(options(path));
  assert.match(made.accountId, /^[0-9a-f]{32}$/);
  assert.match(made.token, /^[\w-]{40}$/);
  assert.equal(made.tokenIsNew, true);
  assert.equal(made.tokenFile, join(path, "token"));
  assert.equal(await readFile(join(path, "token"), "utf8"), `${made.token}\n`);
  if (process.platform !== "win32") {
    assert.equal((await stat(path)).mode & 0o777, 0o700);
    assert.equal((await stat(join(path, "token"))).mode & 0o777, 0o600);
  }
  assert.equal(await isOpenToOthers(path), false);
  assert.deepEqual((await readdir(path)).toSorted(), [".gitignore", "account_id", "token"]);
});

test("opened again it is the same, and the token is not new", async () => {
  await using temporary = await temporaryFolder();
  const first = await openDataFolder(options(temporary.path));
  const again = await openDataFolder(options(temporary.path));
  assert.deepEqual(again, { ...first, tokenIsNew: false });
});

test("many at once agree on one identity, made by one of them", async () => {
  await using temporary = await temporaryFolder();
  const all = await Promise.all(Array.from({ length: 20 }, async () => await openDataFolder(options(temporary.path))));
  assert.equal(new Set(all.map(({ token }) => token)).size, 1);
  assert.equal(new Set(all.map(({ accountId }) => accountId)).size, 1);
  assert.equal(all.filter(({ tokenIsNew }) => tokenIsNew).length, 1);
});

test("an identity given by settings is used and not kept", async () => {
  await using temporary = await temporaryFolder();
  const accountId = "a".repeat(32);
  const given = await openDataFolder(options(temporary.path, { accountId, token: "secret" }));
  assert.deepEqual(given, {
    path: temporary.path,
    accountId,
    token: "secret",
    tokenFile: undefined,
    tokenIsNew: false,
  });
  assert.deepEqual(await readdir(temporary.path), []);
});

test("a damaged identity is told, never replaced in silence", async () => {
  await using temporary = await temporaryFolder();
  await writeFile(join(temporary.path, "account_id"), "");
  await assert.rejects(openDataFolder(options(temporary.path)), /account_id does not hold what was written there/);
});
