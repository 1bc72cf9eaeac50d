// The lock file installs anywhere: it names no registry, and holds every package of every platform we support.
import assert from "node:assert/strict";
import { test } from "node:test";

import { z } from "zod";

import { readRepositoryFile } from "./repository-files.ts";

const names = z.record(z.string(), z.string()).default({});
const oneOrMore = z.union([z.string().transform((one) => [one]), z.array(z.string())]).optional();
const entry = z.object({
  version: z.string().optional(),
  resolved: z.string().optional(),
  integrity: z.string().optional(),
  link: z.boolean().default(false),
  os: oneOrMore,
  cpu: oneOrMore,
  dependencies: names,
  optionalDependencies: names,
});
const lock = z
  .object({ lockfileVersion: z.literal(3), packages: z.record(z.string(), entry) })
  .parse(JSON.parse(readRepositoryFile("package-lock.json")));
const entries = Object.entries(lock.packages);

const platforms = ["linux x64", "linux arm64", "darwin x64", "darwin arm64", "win32 x64"];

test("no entry says where it was downloaded from", () => {
  assert.deepEqual(
    entries.filter(([, { resolved, link }]) => resolved !== undefined && !link).map(([path]) => path),
    [],
  );
});

test("every installed package has a checksum", () => {
  const installed = entries.filter(([path, { link }]) => path.includes("node_modules/") && !link);
  assert.deepEqual(
    installed.filter(([, { integrity }]) => integrity === undefined).map(([path]) => path),
    [],
  );
});

test("every dependency is in the lock, those of other platforms included", () => {
  const missing = entries.flatMap(([path, { dependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...optionalDependencies })
      .filter((name) => resolve(path, name) === undefined)
      .map((name) => `${path || "the root"} needs ${name}`),
  );
  assert.deepEqual(missing, []);
});

test("whatever comes in a package for each platform comes for all of ours", () => {
  const incomplete = entries.flatMap(([path, { optionalDependencies }]) => {
    const variants = Object.keys(optionalDependencies).flatMap((name) => resolve(path, name) ?? []);
    const native = variants.filter(({ os, cpu }) => os !== undefined && cpu !== undefined);
    if (native.length < 3) return []; // one platform's extra, such as fsevents
    return platforms
      .filter(
        (platform) =>
          !native.some(({ os = [], cpu = [] }) => os.some((o) => cpu.some((c) => `${o} ${c}` === platform))),
      )
      .map((platform) => `${path || "the root"} has nothing for ${platform}`);
  });
  assert.deepEqual(incomplete, []);
});

/** What a package sees under a name: the nearest node_modules folder that has it. */
function resolve(from: string, name: string): z.infer<typeof entry> | undefined {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/")))) {
    const found = lock.packages[folder === "" ? `node_modules/${name}` : `${folder}/node_modules/${name}`];
    if (found !== undefined || folder === "") return found;
  }
}
