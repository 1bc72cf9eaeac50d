// The machine a run was made on, as far as it matters to the result; nothing that would tell which machine it was.

import { readFile, statfs } from "node:fs/promises";
import { arch, availableParallelism, loadavg, release, totalmem, type } from "node:os";
import { createRequire } from "node:module";

export interface Machine {
  readonly cores: number;
  /** Processes that ran or waited to, on average over the last quarter of an hour: with more than cores, times are longer. */
  readonly load: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly architecture: string;
  readonly node: string;
  readonly workerd: string;
  readonly millrace: string;
  /** Of the folder the data was in. */
  readonly fileSystem: string;
}

export async function describeMachine(folder: string): Promise<Machine> {
  return {
    cores: availableParallelism(),
    load: Math.round(loadavg()[2] ?? 0),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${/^[\d.]+/.exec(release())?.[0] ?? release()}`,
    architecture: arch(),
    node: process.versions.node,
    workerd: versionOf("workerd"),
    millrace: versionOf("millrace"),
    fileSystem: await fileSystemOf(folder),
  };
}

function versionOf(name: string): string {
  const { version } = createRequire(import.meta.url)(`${name}/package.json`) as { readonly version: string };
  return version;
}

/** The name that Linux has for it, else the number that the system has. */
async function fileSystemOf(folder: string): Promise<string> {
  try {
    const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" "));
    const above = mounts.filter(([, point = "/"]) =>
      `${folder}/`.startsWith(point.endsWith("/") ? point : `${point}/`),
    );
    const nearest = above.toSorted(([, a = ""], [, b = ""]) => a.length - b.length).at(-1);
    if (nearest?.[2] !== undefined) return nearest[2];
  } catch {
    // not Linux
  }
  return `type 0x${(await statfs(folder)).type.toString(16)}`;
}
