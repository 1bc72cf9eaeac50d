// Nothing in the repository names the machine somebody worked on, or the registry they installed from.
import assert from "node:assert/strict";
import { homedir } from "node:os";
import { test } from "node:test";

import { readRepositoryFile, repositoryFiles, repositoryRoot } from "./repository-files.ts";

const text = repositoryFiles(/(?:^|\/)(?:[^./]+|.*\.(?:[cm]?[jt]s|tsx|jsonc?|md|ya?ml|toml|html|css|sh)|\.[a-z]+)$/);

test("no file holds a path of somebody's machine", () => {
  const homes = /(?<![\w.])(?:\/home\/|\/Users\/|\/root\/|[A-Z]:\\Users\\)\w/;
  const isTelling = (folder: string): boolean => folder.split(/[/\\]/).length > 3; // "/millrace/" could be anything
  const here = [repositoryRoot, `${homedir()}/`].filter(isTelling);
  const offenders = text.filter((path) => {
    const content = readRepositoryFile(path);
    return homes.test(content) || here.some((folder) => content.includes(folder));
  });
  assert.deepEqual(offenders, []);
});

test("no file names a package registry", () => {
  const registry = /\bregistry\.(?:npmjs|yarnpkg|npmmirror)\.|\bregistry\s*=\s*http/;
  assert.deepEqual(
    text.filter((path) => registry.test(readRepositoryFile(path))),
    [],
  );
});
