// Takes this machine's absolute paths out of texts that strangers may read: only the last part of a path stays.

import { readdirSync } from "node:fs";

const pathPattern = /(?<![\w:/.@-])\/(?:[^\s/"'`:;,()<>[\]{}|]+\/)*[^\s/"'`:;,()<>[\]{}|]*/g;
let topLevel: ReadonlySet<string> | undefined;

/** What starts with a folder that exists at the root of this file system is a path; `/api/orders` is left alone. */
export function withoutMachinePaths(text: string): string {
  topLevel ??= new Set(readdirSync("/"));
  const known = topLevel;
  return text.replace(pathPattern, (path) => {
    const [, first = "", ...rest] = path.split("/");
    if (!known.has(first) || rest.length === 0) return path;
    return rest.findLast((part) => part !== "") ?? path;
  });
}
