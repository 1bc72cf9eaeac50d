// `server.json` in the data folder: where the running server is, so that commands in the same folder find it.
// Written when the server is ready, removed at a clean stop. One left behind by a killed server is recognised by its pid.

import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isMissing } from "./data-folder.ts";

export interface ServerAddress {
  readonly pid: number;
  /** Ends in `/client/v4`. */
  readonly api: string;
  readonly console: string;
  readonly workers: string;
  readonly account_id: string;
  /** The administrator token of this run: the file is as private as the token file. */
  readonly token: string;
}

export type ServerFile =
  | { readonly kind: "running"; readonly address: ServerAddress; readonly file: string }
  /** Its server ended without removing it. */
  | { readonly kind: "stale"; readonly address: ServerAddress; readonly file: string }
  | { readonly kind: "none"; readonly file: string };

const fileName = "server.json";

/** Tells where the server is. The file is removed when the result is disposed of, if it is still this server's. */
export async function announceServer(data: string, address: ServerAddress): Promise<AsyncDisposable> {
  const file = join(data, fileName);
  const draft = `${file}.${address.pid}.draft`;
  await writeFile(draft, `${JSON.stringify(address, undefined, 2)}\n`, { mode: 0o600 });
  await rename(draft, file);
  return {
    async [Symbol.asyncDispose]() {
      const found = await readServerFile(data);
      if (found.kind !== "none" && found.address.pid === address.pid) await rm(file, { force: true });
    },
  };
}

/** Reads where the server of a data folder is. */
export async function readServerFile(data: string): Promise<ServerFile> {
  const file = join(data, fileName);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (isMissing(error) || isNoFolder(error)) return { kind: "none", file };
    throw error;
  }
  const address = parseAddress(text);
  if (address === undefined) return { kind: "none", file };
  return { kind: isAlive(address.pid) ? "running" : "stale", address, file };
}

/** The nearest data folder a server announced itself in: `.millrace` here or in a folder above. */
export async function findServerFile(cwd: string): Promise<ServerFile> {
  const here = await readServerFile(join(cwd, ".millrace"));
  let found = here;
  for (let folder = cwd; found.kind === "none";) {
    const above = dirname(folder);
    if (above === folder) return here;
    folder = above;
    found = await readServerFile(join(folder, ".millrace"));
  }
  return found;
}

function parseAddress(text: string): ServerAddress | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined; // written by hand: rename makes a half-written one impossible
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const { pid, ...texts } = parsed as Partial<Record<keyof ServerAddress, unknown>>;
  const { api, console, workers, account_id, token } = texts;
  if (typeof pid !== "number" || !Number.isSafeInteger(pid) || pid <= 0) return undefined;
  if (typeof api !== "string" || typeof console !== "string" || typeof workers !== "string") return undefined;
  if (typeof account_id !== "string" || typeof token !== "string") return undefined;
  return { pid, api, console, workers, account_id, token };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM"; // somebody else's process
  }
}

function isNoFolder(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOTDIR";
}
