// Imports point downward only. The compiler refuses a wrong one through the project references of each layer;
// this test holds those references, and what the compiler does not see (packages, node: modules), to one table.
import assert from "node:assert/strict";
import { posix } from "node:path";
import { test } from "node:test";

import { readRepositoryFile, repositoryFiles } from "./repository-files.ts";

interface LayerRule {
  /** The layers it may import. */
  readonly layers: readonly string[];
  /** The packages it may import; undefined: any that the package declares. */
  readonly packages?: readonly string[];
  /** Pure layers see nothing of Node. */
  readonly node: boolean;
}

const rules: Readonly<Record<string, LayerRule>> = {
  core: { layers: [], packages: [], node: false },
  threads: { layers: [], packages: [], node: true },
  contract: { layers: ["core"], packages: ["zod"], node: false },
  "engines/memory": { layers: ["core"], packages: [], node: true },
  "engines/sqlite": { layers: ["core", "threads"], packages: [], node: true },
  broker: { layers: ["core", "contract"], packages: [], node: true },
  "worker-host": { layers: ["core", "contract", "broker"], node: true },
  api: { layers: ["core", "contract", "broker", "worker-host"], node: true },
  observability: { layers: ["core", "contract"], node: true },
  config: { layers: ["core", "contract"], node: true },
  cli: {
    layers: [
      "core",
      "threads",
      "contract",
      "engines/memory",
      "engines/sqlite",
      "broker",
      "worker-host",
      "api",
      "observability",
      "config",
    ],
    node: true,
  },
};

const sources = "packages/millrace/src";

test("every source belongs to a layer of the table, or is the composition root", () => {
  const strangers = repositoryFiles(/^packages\/millrace\/src\/.*\.[jt]s$/).filter(
    (path) => layerOf(path) === undefined && posix.dirname(path) !== sources,
  );
  assert.deepEqual(strangers, []);
});

for (const [layer, rule] of Object.entries(rules)) {
  test(`${layer} imports only what stands below it`, () => {
    const wrong = repositoryFiles(/\.ts$/)
      .filter((path) => layerOf(path) === layer)
      .flatMap((path) => importsOf(path).map((specifier) => ({ path, specifier })))
      .filter(({ path, specifier }) => !isAllowed(layer, rule, path, specifier));
    assert.deepEqual(wrong, []);
  });

  test(`the project of ${layer} references exactly what it may import`, () => {
    const project: unknown = JSON.parse(readRepositoryFile(`${sources}/${layer}/tsconfig.json`));
    assert.ok(typeof project === "object" && project !== null && "references" in project && "include" in project);
    const up = "../".repeat(layer.split("/").length);
    const expected = rule.layers.map((name) => ({
      path: posix.relative(`${sources}/${layer}`, `${sources}/${layer}/${up}${name}`),
    }));
    assert.deepEqual(project.references, expected);
    assert.deepEqual(project.include, ["./**/*.ts"]);
  });
}

function isAllowed(layer: string, rule: LayerRule, path: string, specifier: string): boolean {
  if (specifier.startsWith("node:")) return rule.node;
  if (!specifier.startsWith(".")) return rule.packages === undefined || rule.packages.includes(specifier);
  const target = layerOf(posix.join(posix.dirname(path), specifier));
  return target !== undefined && (target === layer || rule.layers.includes(target));
}

function layerOf(path: string): string | undefined {
  return Object.keys(rules).find((layer) => path.startsWith(`${sources}/${layer}/`));
}

function importsOf(path: string): string[] {
  const imports =
    /^\s*(?:import|export)\b[^;"'`]*?\bfrom\s*["']([^"']+)["']|^\s*import\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/gm;
  return [...readRepositoryFile(path).matchAll(imports)].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
}
