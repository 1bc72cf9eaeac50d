// Watches a project's sources and tells of a change once the editor is done with it.

import { once } from "node:events";
import { basename, relative } from "node:path";
import { watch } from "chokidar";

/** What a build or the server itself writes; watching it would deploy for ever. */
const ignoredFolders = new Set(["node_modules", ".millrace", ".wrangler", ".git", "dist", "build", "coverage"]);

/** Editors write in several steps, and a checkout changes many files. */
const quietMs = 120;

/**
 * Calls back with the path (relative to `base`) that changed last. Resolves when it watches.
 * `never` names folders that are not looked at, beside those that no source is ever in.
 */
export async function watchSources(
  paths: readonly string[],
  options: { readonly base: string; readonly never: readonly string[] },
  onChange: (file: string) => void,
): Promise<AsyncDisposable> {
  let timer: NodeJS.Timeout | undefined;
  const watcher = watch([...paths], {
    ignoreInitial: true,
    ignored: (path) => !paths.includes(path) && (ignoredFolders.has(basename(path)) || options.never.includes(path)),
  });
  watcher.on("all", (_event, path) => {
    clearTimeout(timer);
    timer = setTimeout(() => onChange(relative(options.base, path)), quietMs);
  });
  await once(watcher, "ready");
  return {
    async [Symbol.asyncDispose]() {
      clearTimeout(timer);
      await watcher.close();
    },
  };
}
