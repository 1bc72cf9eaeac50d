// Shows that the crash loop notices: Millrace with one deliberate mistake at a time, and what a short loop says of each.
// `npm run prove:mutants` writes docs/evidence/crash-loop-mutants.md; about a minute a mutant.

import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./programs.ts";
import { rules } from "./verify/findings.ts";
import type { Rule } from "./verify/findings.ts";
import type { Verdict } from "./verify/verdict.ts";

interface Mutant {
  readonly mistake: string;
  /** Below packages/millrace/src. */
  readonly file: string;
  readonly changes: readonly (readonly [from: string, to: string])[];
}

const slowly = "await new Promise((resolve) => globalThis.setTimeout(resolve, 50))";

const mutants: readonly Mutant[] = [
  {
    mistake: "Sends and settlements are answered before they are committed",
    file: "engines/sqlite/store.ts",
    changes: [
      ["    this.#begin.run();", "    if (!this.#database.isTransaction) this.#begin.run();"],
      ["      this.#commit.run();", "      if (Math.random() < 0.05) this.#commit.run();"],
    ],
  },
  {
    mistake: "One message in some bulk sends is not stored",
    file: "broker/intake.ts",
    changes: [
      [
        "await engine.send(queue, messages);",
        "await engine.send(queue, messages.length > 1 && Math.random() < 0.02 ? messages.slice(1) : messages);",
      ],
    ],
  },
  {
    mistake: "A bulk send is stored in two steps",
    file: "broker/intake.ts",
    changes: [
      [
        "    const receipt = await engine.send(queue, messages);",
        `    if (messages.length > 1) await engine.send(queue, messages.splice(0, 1)), ${slowly};
    const receipt = await engine.send(queue, messages);`,
      ],
    ],
  },
  {
    mistake: "The ack of a pull is answered before it is stored",
    file: "broker/pull.ts",
    changes: [
      [
        "    const receipt = await settler.settle(",
        `    if (retries.size === 0) {
      const each = [...acks.keys()].map((lease) => ({ lease, decision: { kind: "ack" } }));
      globalThis.setTimeout(() => void settler.settle(queue, consumer, () => ({ each, whole: [] })), 50);
      return { acked: acks.size, retried: 0, warnings };
    }
    const receipt = await settler.settle(`,
      ],
    ],
  },
  {
    mistake: "A server crash costs an attempt",
    file: "engines/sqlite/operations/settle.ts",
    changes: [["attempts: attempts - 1 });", "attempts });"]],
  },
  {
    mistake: "What a killed server held is not given back",
    file: "broker/broker.ts",
    changes: [['if (!holder.startsWith("server:")) continue;', "continue;"]],
  },
  {
    mistake: "The death of a Worker's process costs no attempt",
    file: "broker/delivery-report.ts",
    changes: [['      return failedDelivery("daemonDown");', "      return undefined;"]],
  },
  {
    mistake: "Leases of pull consumers never end",
    file: "broker/lease-expiry.ts",
    changes: [["await engine.expiredLeases(queue, slice);", "(await engine.expiredLeases(queue, slice)).slice(0, 0);"]],
  },
  {
    mistake: "Leases end after half their time",
    file: "engines/sqlite/operations/lease.ts",
    changes: [["after(now, request.visibility)", "after(now, Math.floor(request.visibility / 2))"]],
  },
  {
    mistake: "Messages are dead-lettered one delivery early",
    file: "core/settlement.ts",
    changes: [["retriesUsed < policy.maxRetries)", "retriesUsed < policy.maxRetries - 1)"]],
  },
  {
    mistake: "Nobody ends the Workers' processes of a killed server",
    file: "worker-host/sitter.ts",
    changes: [['do kill -9 "$pid" 2>/dev/null; done', "do :; done"]],
  },
];

const repository = fileURLToPath(new URL("../..", import.meta.url));
const skipped = new Set(["node_modules", "dist", ".tsbuild", ".wrangler"]);
const copy = await mkdtemp(join(tmpdir(), "millrace-mutants-"));
try {
  for (const folder of ["packages/millrace", "tests/prove"]) {
    const filter = (path: string): boolean => !skipped.has(basename(path));
    await cp(join(repository, folder), join(copy, folder), { recursive: true, filter });
  }
  await cp(join(repository, "package.json"), join(copy, "package.json"));
  for (const folder of ["node_modules", "packages/millrace/node_modules"]) {
    await symlink(join(repository, folder), join(copy, folder));
  }
  const rows: string[] = [];
  for (const mutant of mutants) {
    const noticed = await tryMutant(mutant);
    console.error(`${mutant.mistake}: ${noticed ?? "NOT NOTICED"}`);
    if (noticed === undefined) process.exitCode = 1;
    rows.push(`| ${mutant.mistake} | ${noticed ?? "**not noticed**"} |`);
  }
  const evidence = join(repository, "docs/evidence");
  await mkdir(evidence, { recursive: true });
  await writeFile(join(evidence, "crash-loop-mutants.md"), page(rows));
} finally {
  await rm(copy, { recursive: true, force: true, maxRetries: 5 });
}

/** Answers what the loop says of the mistake; `undefined`: that all is well. */
async function tryMutant({ file, changes }: Mutant): Promise<string | undefined> {
  const path = join(copy, "packages/millrace/src", file);
  const original = await readFile(path, "utf8");
  let mutated = original;
  for (const [from, to] of changes) {
    if (!mutated.includes(from))
      throw new Error(`${file} has changed: it does not say ${JSON.stringify(from)} any more`);
    mutated = mutated.replace(from, () => to);
  }
  await writeFile(path, mutated);
  const report = await mkdtemp(join(copy, "report-"));
  const args = ["tests/prove/prove.ts", "--seed", "5", "--kills", "12", "--folder", copy, "--report", report];
  const { isGood } = await run(args, copy, {}, 600_000);
  await writeFile(path, original);
  if (isGood) return undefined;
  try {
    const { verdict } = JSON.parse(await readFile(join(report, "crash-loop.json"), "utf8")) as { verdict: Verdict };
    const counts = Map.groupBy(verdict.problems, ({ rule }) => rule);
    return [...counts].map(([rule, of]: [Rule, readonly unknown[]]) => `${rules[rule]} (${of.length})`).join("; ");
  } catch {
    return "the server did not come back";
  }
}

function page(rows: readonly string[]): string {
  return `# What the crash loop notices

Written by \`npm run prove:mutants\`: Millrace with one deliberate mistake at a time, through a crash loop of 12 kills, and
which of its rules the loop found broken, how often.

| Mistake | Noticed as |
| --- | --- |
${rows.join("\n")}
`;
}
