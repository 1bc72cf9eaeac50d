// Builds what is published: JavaScript and declarations in a package's dist/, with the files of its src/ that are not TypeScript beside
// them, and the repository's licence. Run in a package's folder it builds that one, anywhere else all of them.
import { execFileSync } from "node:child_process";
import { cpSync, globSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Files of the repository's root that a package carries too; the client has a readme of its own. */
const copied: Readonly<Record<string, readonly string[]>> = {
  millrace: ["LICENSE", "README.md"],
  client: ["LICENSE"],
};

const root = fileURLToPath(new URL("..", import.meta.url));
const folderOf = (name: string): string => join(root, "packages", name);
const names = Object.keys(copied);
const here = names.filter((name) => process.cwd() === folderOf(name));
for (const name of here.length > 0 ? here : names) build(name);

function build(name: string): void {
  const packageFolder = folderOf(name);
  const sources = join(packageFolder, "src");
  const dist = join(packageFolder, "dist");

  rmSync(dist, { recursive: true, force: true });
  execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "--project", "tsconfig.build.json"], {
    cwd: packageFolder,
    stdio: "inherit",
  });

  const assets = globSync("**/*.*", { cwd: sources }).filter(
    (path) => basename(path) !== "tsconfig.json" && (!path.endsWith(".ts") || path.endsWith(".d.ts")),
  );
  for (const path of assets) cpSync(join(sources, path), join(dist, path));
  for (const path of copied[name] ?? []) cpSync(join(root, path), join(packageFolder, path));
}
