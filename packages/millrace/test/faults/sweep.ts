// Starts a sweep on a failing disk: the scripted history, once for each call to the disk, with that call failing.

import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { FaultDisk } from "./fault-disk.ts";
import type { Fault } from "./fault-disk.ts";

export interface SweepOrder extends Pick<Fault, "operations" | "effect" | "error"> {
  readonly controlFile: string;
  readonly folder: string;
  /** 0: the one call fails. More: everything fails from that call on, until so many steps have met it. */
  readonly failsForSteps: number;
  /** Few pages make the store read and write more. */
  readonly cachePages?: number;
  /** The first call that is tried, from 1, and how many further on the next one is. */
  readonly first: number;
  readonly every: number;
}

export interface SweepReport {
  /** Calls to the disk that the history makes. */
  readonly calls: number;
  readonly tried: number;
  readonly runs: number;
  /** How often the step that met the failure was answered with what. */
  readonly answers: Readonly<Record<string, number>>;
  /** Runs in which the store ended by itself. */
  readonly gaveUp: number;
  /** Steps that failed after the fault was gone. */
  readonly lasting: number;
  readonly violations: readonly { readonly at: number; readonly words: string }[];
}

/** Every call is tried with MILLRACE_FAULTS=all; otherwise so many, spread evenly. */
export const sweepsAll = process.env["MILLRACE_FAULTS"] === "all";

/** All of them take hours on a small machine. */
export const sweepTimeoutMs = sweepsAll ? 24 * 3_600_000 : 280_000;

const child = fileURLToPath(new URL("./sweep-child.ts", import.meta.url));

/** `every`: which calls are tried, where not all are. */
export async function sweep(
  order: Omit<SweepOrder, "controlFile" | "folder" | "first" | "every">,
  every: number,
): Promise<SweepReport> {
  await using disk = await FaultDisk.make();
  const full: SweepOrder = {
    ...order,
    controlFile: disk.controlFile,
    folder: disk.folder,
    first: sweepsAll ? 1 : 1 + (Math.trunc(every / 2) % every),
    every: sweepsAll ? 1 : every,
  };
  const { stdout } = await promisify(execFile)(process.execPath, [child, JSON.stringify(full)], {
    env: disk.environment("messages.db"),
    maxBuffer: 10_000_000,
  });
  return JSON.parse(stdout) as SweepReport;
}
