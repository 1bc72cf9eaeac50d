// The data folder and who it is: made once, private to its owner, with the account's id and the first administrator token.
//
// account_id   32 hex digits, a line
// token        the generated administrator token, a line; readable by the owner alone
// .gitignore   so that a data folder inside a project is never committed

import { constants } from "node:fs";
import { copyFile, link, mkdir, readFile, stat, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toHex } from "../core/index.ts";
import type { Random } from "../core/index.ts";

export interface DataFolder {
  readonly path: string;
  readonly accountId: string;
  readonly token: string;
  /** Where the token is kept; `undefined` when it was given by a setting and is not kept. */
  readonly tokenFile: string | undefined;
  /** The token was made by this very call: the moment to show it. */
  readonly tokenIsNew: boolean;
}

export interface DataFolderOptions {
  readonly path: string;
  /** Used instead of the kept ones, for this run; never written to the folder. */
  readonly accountId: string | undefined;
  readonly token: string | undefined;
  readonly random: Random;
}

const accountIdForm = /^[0-9a-f]{32}$/;

/**
 * Opens or makes the data folder (0700). May be called again and by several processes at once: whoever is first decides
 * the identity, everybody reads the same. Throws the file system's error when the folder cannot be used.
 */
export async function openDataFolder(options: DataFolderOptions): Promise<DataFolder> {
  const { path, random } = options;
  const made = await mkdir(path, { recursive: true, mode: 0o700 });
  if (made !== undefined) await writeOnce(join(path, ".gitignore"), "*\n", 0o600);

  const account =
    options.accountId ?? (await keep(join(path, "account_id"), () => toHex(random.bytes(16)), accountIdForm)).text;
  if (options.token !== undefined) {
    return { path, accountId: account, token: options.token, tokenFile: undefined, tokenIsNew: false };
  }
  const tokenFile = join(path, "token");
  const token = await keep(tokenFile, () => makeToken(random), /^[\x21-\x7e]+$/);
  return { path, accountId: account, token: token.text, tokenFile, tokenIsNew: token.isNew };
}

/** The account that a data folder says it belongs to. */
export async function readAccountId(path: string): Promise<string | undefined> {
  return await readLine(join(path, "account_id"));
}

/** Makes a data folder for data that belongs to an account already. The folder must be empty or not there. */
export async function makeDataFolder(path: string, accountId: string | undefined): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await writeOnce(join(path, ".gitignore"), "*\n", 0o600);
  if (accountId !== undefined) await keep(join(path, "account_id"), () => accountId, accountIdForm);
}

/** Whether others than its owner may look into the folder. Always false where there are no such permissions. */
export async function isOpenToOthers(path: string): Promise<boolean> {
  if (process.platform === "win32") return false;
  return ((await stat(path)).mode & 0o077) !== 0;
}

/** 240 random bits in 40 characters, the form of Cloudflare's own tokens. */
function makeToken(random: Random): string {
  return Buffer.from(random.bytes(30)).toString("base64url");
}

interface Kept {
  readonly text: string;
  readonly isNew: boolean;
}

/** The file's line, made first if there is none. */
async function keep(file: string, make: () => string, form: RegExp): Promise<Kept> {
  const found = await readLine(file);
  if (found === undefined) {
    const text = make();
    if (await writeOnce(file, `${text}\n`, 0o600)) return { text, isNew: true };
  }
  const text = found ?? (await readLine(file)) ?? "";
  if (form.test(text)) return { text, isNew: false };
  throw new Error(
    `${file} does not hold what was written there. Restore it from a backup, or delete it to have a new one made.`,
  );
}

async function readLine(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Writes a whole file or leaves the one that is there: no reader ever sees half of it. Answers whether it wrote. */
async function writeOnce(file: string, text: string, mode: number): Promise<boolean> {
  const draft = `${file}.${process.pid}.${Math.trunc(performance.now() * 1_000)}.draft`;
  await writeFile(draft, text, { mode, flag: "wx", flush: true });
  try {
    await link(draft, file).catch(async (error: unknown) => {
      if (hasCode(error, "EEXIST")) throw error;
      await copyFile(draft, file, constants.COPYFILE_EXCL); // a file system without links
    });
    return true;
  } catch (error) {
    if (hasCode(error, "EEXIST")) return false;
    throw error;
  } finally {
    await unlink(draft);
  }
}

/** Whether a file system's error says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return hasCode(error, "ENOENT");
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
