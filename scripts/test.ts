// Runs the tests: `npm test`, or `npm test -- core engines/sqlite` for the files whose path contains one of the words.
// Prints one line for each file, every failure with what the file wrote, and last of all `N passed, N failed`.
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { relative, resolve } from "node:path";
import process from "node:process";
import { run } from "node:test";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
const patterns = [
  "packages/*/test/**/*.test.ts",
  "tests/**/*.test.ts",
  "examples/**/*.test.ts",
  "benchmarks/**/*.test.ts",
];

/** A file that has not ended by then holds something it should have let go of; it is killed and counts as failed. */
const fileDeadlineMs = 300_000;

interface FileReport {
  readonly failures: string[];
  readonly output: string[];
  readonly titles: string[];
}

const words = process.argv.slice(2);
const files = globSync(patterns, { cwd: root, exclude: (path) => path.split(/[/\\]/).includes("node_modules") })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
  .toSorted();

if (files.length === 0) {
  console.error(`No test file matches ${(words.length > 0 ? words : patterns).join(" ")}.`);
  process.exit(1);
}

const reports = new Map<string, FileReport>();
const printed = new Set<string>();
const totals = { passed: 0, failed: 0, skipped: 0 };

const stream = run({ cwd: root, files, concurrency: Math.min(2, availableParallelism()), timeout: fileDeadlineMs });
stream.on("test:start", ({ file, nesting, name }) => {
  const { titles } = reportOf(file);
  titles.length = nesting;
  titles[nesting] = name;
});
stream.on("test:stdout", ({ file, message }) => void reportOf(file).output.push(message));
stream.on("test:stderr", ({ file, message }) => void reportOf(file).output.push(message));
stream.on("test:pass", (event) => {
  if (event.details.type === "suite") return;
  if (isWholeFile(event)) {
    totals.failed += 1;
    reportOf(event.name).failures.push("The file ended without running a test.");
  } else if (event.skip !== undefined || event.todo !== undefined) {
    totals.skipped += 1;
  } else {
    totals.passed += 1;
  }
});
stream.on("test:fail", (event) => {
  const { file, name, nesting, details, todo } = event;
  if (todo !== undefined) {
    totals.skipped += 1;
    return;
  }
  // A suite, or a test with subtests, fails because something inside it did: that one is already counted and shown.
  if ("failureType" in details.error && details.error.failureType === "subtestsFailed") return;
  totals.failed += 1;
  const report = reportOf(isWholeFile(event) ? name : file);
  const title = [...report.titles.slice(0, nesting), name].join(" > ");
  report.failures.push(`${title}\n${inspect(details.error.cause ?? details.error, { colors: process.stdout.isTTY })}`);
});
stream.on("test:summary", ({ file, counts, duration_ms }) => {
  if (file !== undefined) printFile(file, counts.passed, duration_ms);
});
await new Promise<void>((done) => void stream.on("end", done).resume());
for (const [file, { failures }] of reports) if (failures.length > 0 && !printed.has(file)) printFile(file, 0, 0);

const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : "";
console.log(`${totals.passed} passed, ${totals.failed} failed${skipped}`);
process.exitCode = totals.failed > 0 ? 1 : 0;

/** Node reports a file as a test of its own only when it could not be loaded, was killed, or ran no test. */
function isWholeFile({ name, nesting }: { readonly name: string; readonly nesting: number }): boolean {
  return nesting === 0 && files.includes(relative(root, resolve(root, name)).replaceAll("\\", "/"));
}

function reportOf(file = "(no file)"): FileReport {
  const key = resolve(root, file);
  const known = reports.get(key);
  if (known !== undefined) return known;
  const fresh: FileReport = { failures: [], output: [], titles: [] };
  reports.set(key, fresh);
  return fresh;
}

function printFile(file: string, passed: number, durationMs: number): void {
  printed.add(resolve(root, file));
  const { failures, output } = reportOf(file);
  const verdict = failures.length > 0 ? `FAILED ${failures.length}` : "ok";
  console.log(`${verdict}  ${relative(root, file)}  ${passed} passed, ${(durationMs / 1000).toFixed(1)} s`);
  if (failures.length === 0) return;
  for (const failure of failures) console.log(`\n${failure.replaceAll(/^/gm, "    ")}`);
  if (output.length > 0) console.log(`\n  what the file wrote:\n${output.join("").replaceAll(/^/gm, "    ")}`);
  console.log();
}
