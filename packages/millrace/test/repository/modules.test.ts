// What modules are called and how they begin.
import assert from "node:assert/strict";
import { posix } from "node:path";
import { test } from "node:test";

import { readRepositoryFile, repositoryFiles } from "./repository-files.ts";

const code = repositoryFiles(/\.(?:[cm]?[jt]s|tsx)$/);

test("no module or folder is named after a kind of thing instead of its job", () => {
  const banned = new Set(["utils", "util", "helpers", "helper", "common", "types", "interfaces", "misc"]);
  const offenders = code.filter((path) =>
    path.split("/").some((part) => banned.has(posix.basename(part).split(".")[0] ?? "")),
  );
  assert.deepEqual(offenders, []);
});

test("every module of the product says its job in its first comment", () => {
  const silent = code
    .filter((path) => path.startsWith("packages/millrace/src/"))
    .filter((path) => !/^(?:#!.*\n)?\/[/*]/.test(readRepositoryFile(path)));
  assert.deepEqual(silent, []);
});

test("tests stand in test folders, where the runner finds them", () => {
  const found = /^(?:packages\/[^/]+\/test|tests|examples|benchmarks)\/.*\.test\.ts$/;
  const lost = repositoryFiles(/\.(?:test|spec)\.[^/]+$/).filter((path) => !found.test(path));
  assert.deepEqual(lost, []);
});
