// Writes a version's modules where workerd reads them. Files are numbered: a module's name never becomes a path.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MillraceError } from "../core/index.ts";
import type { VersionRecord } from "../core/index.ts";

/** The bytes of a module; `undefined` when they are nowhere. */
export type ReadModule = (module: VersionRecord["modules"][number]) => Promise<Uint8Array | undefined>;

/** Makes the folder (0700) and answers the file of each module by its name, relative to the folder. */
export async function writeModules(
  folder: string,
  version: VersionRecord,
  read: ReadModule,
): Promise<ReadonlyMap<string, string>> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const files = new Map<string, string>();
  for (const [index, module] of version.modules.entries()) {
    if (module.kind === "source-map") continue;
    const bytes = await read(module);
    if (bytes === undefined) {
      throw new MillraceError(
        "DATA_DAMAGED",
        `Module ${module.name} of Worker ${version.worker} is missing from the storage`,
      );
    }
    const file = `module-${index}`;
    await writePrivate(join(folder, file), bytes);
    files.set(module.name, file);
  }
  for (const binding of version.bindings) {
    if ("part" in binding && !files.has(binding.part)) {
      throw new MillraceError(
        "WORKER_INVALID",
        `Binding ${binding.name} names the part ${JSON.stringify(binding.part)}, which was not uploaded`,
      );
    }
  }
  return files;
}

/** Configurations hold secrets. */
export async function writePrivate(path: string, content: string | Uint8Array): Promise<void> {
  await writeFile(path, content, { mode: 0o600 });
}
