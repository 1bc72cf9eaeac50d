// Runs the tests: `npm test`, or `npm test -- core engines/sqlite` for the files whose path contains one of the words.
// Prints one line for each file, every failure with what the file wrote, and last of all `N passed, N failed`.
import { globSync } from "node:fs";
import { basename } from "node:path";
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
const filesAtOnce = 2;

/** A file that has not ended by then holds something it should have let go of: it is stopped and counts as failed. */
const fileDeadlineMs = 300_000;

const totals = { passed: 0, failed: 0, skipped: 0 };

const words = process.argv.slice(2);
const files = globSync(patterns, { cwd: root, exclude: (path) => basename(path) === "node_modules" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
  .toSorted();
if (files.length === 0) {
  console.error(`No test file matches ${(words.length > 0 ? words : patterns).join(" ")}.`);
  process.exit(1);
}

const waiting = files.values();
await Promise.all(
  Array.from({ length: filesAtOnce }, async () => {
    for (const file of waiting) await runFile(file);
  }),
);

const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : "";
console.log(`${totals.passed} passed, ${totals.failed} failed${skipped}`);
process.exitCode = totals.failed > 0 ? 1 : 0;

/** Runs one file in a process of its own, adds to the totals and prints what came of it. Never rejects. */
async function runFile(file: string): Promise<void> {
  let passed = 0;
  const failures: string[] = [];
  const output: string[] = [];
  const titles: string[] = [];

  const deadline = AbortSignal.timeout(fileDeadlineMs);
  const stream = run({ cwd: root, files: [file], signal: deadline });
  stream.on("test:start", ({ nesting, name }) => {
    titles.length = nesting;
    titles[nesting] = name;
  });
  stream.on("test:stdout", ({ message }) => void output.push(message));
  stream.on("test:stderr", ({ message }) => void output.push(message));
  stream.on("test:diagnostic", ({ file: from, message }) => {
    if (from !== undefined) output.push(`${message}\n`); // without a file it is the run's own count
  });
  stream.on("test:pass", (event) => {
    if (event.details.type === "suite") return;
    if (isWholeFile(event, file)) failures.push("The file ended without running a test.");
    else if (event.skip !== undefined || event.todo !== undefined) totals.skipped += 1;
    else passed += 1;
  });
  stream.on("test:fail", (event) => {
    const { error } = event.details;
    if (event.todo !== undefined) totals.skipped += 1;
    else if (isWholeFile(event, file)) failures.push(`The file itself: ${reasonOf(error, deadline.aborted)}`);
    // A suite, or a test with subtests, fails because something inside it did: that one is already counted and shown.
    else if (!("failureType" in error) || error.failureType !== "subtestsFailed") {
      const title = [...titles.slice(0, event.nesting), event.name].join(" > ");
      failures.push(`${title}\n${inspect(error.cause ?? error, { colors: process.stdout.isTTY })}`);
    }
  });
  await new Promise<void>((done) => void stream.on("end", done).resume());

  totals.passed += passed;
  totals.failed += failures.length;
  console.log(`${failures.length > 0 ? `FAILED ${failures.length}` : "ok"}  ${file}  ${passed} passed`);
  if (failures.length === 0) return;
  for (const failure of failures) console.log(`\n${indented(failure)}`);
  if (output.length > 0) console.log(`\n  what the file wrote:\n${indented(output.join(""))}`);
  console.log();
}

/** Node reports a file as a test of its own only when it could not be loaded, was stopped, or ran no test. */
function isWholeFile({ name, nesting }: { readonly name: string; readonly nesting: number }, file: string): boolean {
  return nesting === 0 && name.replaceAll("\\", "/").endsWith(file);
}

function reasonOf(error: Error, late: boolean): string {
  if (late) return `it had not ended after ${fileDeadlineMs / 1000} s and was stopped. Something in it is still open.`;
  if ("exitCode" in error && typeof error.exitCode === "number")
    return `its process ended with status ${error.exitCode}`;
  if ("signal" in error && typeof error.signal === "string") return `its process was ended by ${error.signal}`;
  return error.cause instanceof Error ? error.cause.message : error.message;
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}
