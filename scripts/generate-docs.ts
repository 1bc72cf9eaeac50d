// Writes the reference pages that come from the code: `npm run docs:generate`. With `--check` it writes nothing and fails when
// a page is not what the code says now; `test/repository/generated-docs.test.ts` does that.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

import { commandsPage } from "./docs/commands-page.ts";
import { errorsPage } from "./docs/errors-page.ts";
import { eventsPage } from "./docs/events-page.ts";
import { limitsPage } from "./docs/limits-page.ts";
import { restApiPage } from "./docs/rest-api-page.ts";
import { settingsPage } from "./docs/settings-page.ts";

const note = "<!-- Generated from the code by `npm run docs:generate`. Change the code, not this page. -->\n\n";

const pages: Readonly<Record<string, () => string | Promise<string>>> = {
  "docs/reference/commands.md": commandsPage,
  "docs/reference/errors.md": errorsPage,
  "docs/reference/events.md": eventsPage,
  "docs/reference/limits.md": limitsPage,
  "docs/reference/rest-api.md": restApiPage,
  "docs/reference/settings.md": settingsPage,
};

const checkOnly = process.argv.includes("--check");
const outOfDate: string[] = [];

for (const [path, render] of Object.entries(pages)) {
  const file = fileURLToPath(new URL(`../${path}`, import.meta.url));
  const text = note + (await render());
  if (existsSync(file) && readFileSync(file, "utf8") === text) continue;
  outOfDate.push(path);
  if (checkOnly) continue;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

if (outOfDate.length > 0) {
  console.log(`${checkOnly ? "Out of date, run `npm run docs:generate`" : "Written"}: ${outOfDate.join(", ")}`);
  if (checkOnly) process.exitCode = 1;
}
