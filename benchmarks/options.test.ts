// What a person who asks for benchmarks wrongly is told, before anything is measured.
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { readOptions, WrongOption } from "./harness/options.ts";

const refusals: readonly { readonly argv: readonly string[]; readonly says: RegExp }[] = [
  { argv: ["--rounds", "abc"], says: /^--rounds: expected a whole number of rounds from 1 to 1000, got "abc"\.$/ },
  { argv: ["--seconds=-1"], says: /^--seconds: expected a number of seconds from 0\.01 to 86400, got "-1"\.$/ },
  { argv: ["--seconds", "-1"], says: /--seconds=-/ },
  { argv: ["--connections", "0"], says: /^--connections: expected a whole number of connections from 1/ },
  { argv: ["--bytes", ""], says: /^--bytes: expected a whole number of bytes/ },
  {
    argv: ["--results", `${import.meta.filename}/x`],
    says: /^--results: expected a folder that exists or can be made, got /,
  },
  { argv: ["--folder", "/nowhere/x"], says: /^--folder: expected a folder that exists/ },
  { argv: ["--results"], says: /--results/ },
  { argv: ["--frob"], says: /--frob/ },
];

for (const { argv, says } of refusals) {
  test(`${argv.join(" ").replace(import.meta.dirname, "")} is refused with what is expected`, async () => {
    await assert.rejects(readOptions(argv, tmpdir()), (error: unknown) => {
      assert.ok(error instanceof WrongOption, String(error));
      assert.match(error.message, says);
      return true;
    });
  });
}

test("a fraction of a second and results for nobody are good", async () => {
  const { options, results } = await readOptions(["--quick", "--seconds", "0.5", "--results", "-"], tmpdir());
  assert.equal(options.seconds, 0.5);
  assert.equal(results, undefined);
});
