// The composition root: the one place that knows every layer.
import { readFileSync } from "node:fs";

/** Runs the command line given without the program's own name. */
export async function run(argv: readonly string[]): Promise<void> {
  if (argv.includes("--version")) {
    const manifest: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
    if (typeof manifest === "object" && manifest !== null && "version" in manifest) console.log(manifest.version);
  }
}
