// What the machine is, as far as it explains figures. Never its name, nor who uses it.

import { readFileSync, statSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from "node:os";

export interface Machine {
  readonly system: string;
  readonly kernel: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly node: string;
  /** File system and kind of disk of the folder that is measured. */
  readonly disk: string;
  /** Running or waiting processes over the last minute when the run began: above a few tenths, others work here too. */
  readonly load: number;
}

export async function readMachine(folder: string): Promise<Machine> {
  return {
    system: `${platform()} ${arch()}`,
    kernel: release(),
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    disk: `${await fileSystem(folder)}, ${diskKind(folder)}`,
    load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  };
}

/** Magic numbers of statfs(2). */
const fileSystems: Readonly<Record<number, string>> = {
  0xef53: "ext4",
  0x58465342: "xfs",
  0x9123683e: "btrfs",
  0x01021994: "tmpfs",
  0x794c7630: "overlayfs",
  0x2fc12fc1: "zfs",
  0xf2f52010: "f2fs",
};

async function fileSystem(folder: string): Promise<string> {
  const { type } = await statfs(folder);
  return fileSystems[type] ?? `file system 0x${type.toString(16)}`;
}

/** Whether a sync costs nothing there: such a folder measures no disk. */
export async function isInMemory(folder: string): Promise<boolean> {
  return (await fileSystem(folder)) === "tmpfs";
}

function diskKind(folder: string): string {
  const { dev } = statSync(folder);
  // Linux: major in bits 8 to 19, minor in the rest.
  const device = `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
  for (const place of ["queue", "../queue"]) {
    const rotational = readText(`/sys/dev/block/${device}/${place}/rotational`);
    if (rotational === undefined) continue;
    const cache = readText(`/sys/dev/block/${device}/${place}/write_cache`);
    return `${rotational === "1" ? "rotating disk" : "solid-state or virtual disk"}${cache === undefined ? "" : `, cache ${cache}`}`;
  }
  return "unknown kind of disk";
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
