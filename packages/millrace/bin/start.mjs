// Runs the program: the TypeScript sources where they are (a clone), the built JavaScript otherwise (the published package).
// No top-level await: millrace.js loads this file with require().
import { existsSync } from "node:fs";
import { enableCompileCache } from "node:module";

enableCompileCache(); // halves the time to start, from the second start on

const sources = new URL("../src/main.ts", import.meta.url);
const built = new URL("../dist/main.js", import.meta.url);

const program = import(existsSync(sources) ? sources.href : built.href);
void program.then(({ run }) => run(process.argv.slice(2))); // a rejection ends the process with its stack and status 1
