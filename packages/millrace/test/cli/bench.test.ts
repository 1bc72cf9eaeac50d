// `millrace bench` on a server of its own: that every part does its work and says so. How fast anything is, no test says.
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { apiStarter, cli, temporaryFolder } from "./cli-harness.ts";

const tiny = ["--rounds", "1", "--seconds", "0.02", "--bytes", "64"];

test("the machine and the server are measured, every message is delivered once, and nothing is left behind", async () => {
  await using folder = await temporaryFolder();
  const { startServer } = apiStarter();
  const { exitCode, stdout, stderr } = await cli(["bench", ...tiny], { cwd: folder.path, startServer });
  assert.equal(exitCode, 0, stderr);
  for (const name of [
    "disk: append and sync one message",
    "bare HTTP server",
    "push, 64 connections",
    "pull and ack",
  ]) {
    assert.match(stdout, new RegExp(String.raw`^${name}.* [\d,]+ `, "m"));
  }
  assert.match(stdout, /^All [\d,]+ messages that were pushed were pulled exactly once\.$/m);
  assert.deepEqual(await readdir(folder.path), []);
});

test("programs get the same as JSON", async () => {
  await using folder = await temporaryFolder();
  const { startServer } = apiStarter();
  const args = ["bench", "--json", ...tiny];
  const { exitCode, stdout, stderr } = await cli(args, { cwd: folder.path, startServer });
  assert.equal(exitCode, 0, stderr);
  const report = JSON.parse(stdout) as {
    readonly delivered: number;
    readonly figures: readonly { readonly perSecond: { readonly median: number } }[];
  };
  assert.ok(report.delivered > 0);
  assert.equal(report.figures.length, 6);
  for (const { perSecond } of report.figures) assert.ok(perSecond.median > 0);
});

test("a length that cannot be is refused with the reason", async () => {
  await using folder = await temporaryFolder();
  const { exitCode, stderr } = await cli(["bench", "--seconds", "none"], { cwd: folder.path });
  assert.equal(exitCode, 2);
  assert.match(stderr, /Expected a number of seconds above 0/);
});

test("a folder that is not there is refused with what to do", async () => {
  await using folder = await temporaryFolder();
  const { exitCode, stderr } = await cli(["bench", "--folder", "missing"], { cwd: folder.path });
  assert.equal(exitCode, 1);
  assert.match(stderr, /No folder can be made in .*missing \(ENOENT\)\. Name one that exists .*--folder/);
});
