import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const bin = fileURLToPath(new URL("../../bin/millrace.js", import.meta.url));

test(
  "a reader that has seen enough ends a command without a word",
  { skip: process.platform === "win32" && "no shell" },
  async () => {
    const script = '"$0" "$1" queues --help | true';
    const { stderr } = await promisify(execFile)("/bin/sh", ["-c", script, process.execPath, bin]);
    assert.equal(stderr, "");
  },
);
