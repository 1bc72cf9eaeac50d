// What tests may not do: narrow the run, be switched off without a reason, or sleep.
import assert from "node:assert/strict";
import { test } from "node:test";

import { readRepositoryFile, repositoryFiles } from "./repository-files.ts";

// A benchmark measures over a time and polls, and the crash loop kills and pauses at random moments; their tests may not.
const programs = /^tests\/prove\/(?!test\/)/;
const testCode = repositoryFiles(/^(?:(?:packages\/[^/]+\/test|tests|examples)\/.*|benchmarks\/.*\.test)\.ts$/).filter(
  (path) => !programs.test(path),
);

/** A rule, and the code that breaks it. */
const rules: readonly (readonly [rule: string, broken: RegExp])[] = [
  ["no test runs alone", /\b(?:test|it|describe|suite)\.only\b|\bonly:\s*true\b/],
  [
    "a skipped test names its reason",
    /\b(?:test|it|describe|suite)\.(?:skip|todo)\b|\b(?:skip|todo):\s*true\b|\.(?:skip|todo)\(\)/,
  ],
  ["no test sleeps", /\bawait\s+(?:setTimeout|sleep|delay|scheduler\.wait)\(/],
];

for (const [rule, broken] of rules) {
  test(rule, () => {
    const offences = testCode.flatMap((path) =>
      readRepositoryFile(path)
        .split("\n")
        .map((line, index) => ({ line, where: `${path}:${index + 1}` }))
        .filter(({ line }) => broken.test(line))
        .map(({ line, where }) => `${where}: ${line.trim()}`),
    );
    assert.deepEqual(offences, []);
  });
}
