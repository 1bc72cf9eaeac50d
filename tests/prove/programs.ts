// The programs under proof and those around it, run as their users run them.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

const inRepository = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

export const millrace = inRepository("packages/millrace/bin/millrace.js");
export const wrangler = inRepository("node_modules/wrangler/bin/wrangler.js");

/** Runs a JavaScript program under this Node to its end; answers what it wrote. Never rejects. */
export async function run(
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
  timeout = 120_000,
): Promise<{ readonly isGood: boolean; readonly text: string }> {
  return await new Promise((resolve) => {
    const options = { cwd, env: { ...process.env, ...env }, timeout };
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      resolve({ isGood: error === null, text: `${stdout}${stderr}` });
    });
  });
}
