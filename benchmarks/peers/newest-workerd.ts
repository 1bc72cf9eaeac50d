// A newer workerd than the pinned one: it brings a queue of its own along (`/workerd/queues.js`, first seen in 1.20261117.1;
// 1.20261023.1 does not have it), experimental and undocumented.

import { existsSync } from "node:fs";
import { join } from "node:path";

const packages: Readonly<Record<string, string>> = {
  "darwin-arm64": "workerd-darwin-arm64",
  "darwin-x64": "workerd-darwin-64",
  "linux-arm64": "workerd-linux-arm64",
  "linux-x64": "workerd-linux-64",
};

export function newestWorkerd(): { readonly path: string; readonly remedy: string } {
  const name = packages[`${process.platform}-${process.arch}`] ?? "none";
  const path = join(import.meta.dirname, "node_modules/@cloudflare", name, "bin/workerd");
  return { path, remedy: existsSync(path) ? "" : "install it with benchmarks/peers/install.sh workerd" };
}
