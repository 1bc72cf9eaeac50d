// A queue that takes part in the comparison: how it is started, and the few things it is asked to do.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** What every message is. */
export interface Body {
  /** Ten digits. */
  readonly id: string;
  readonly text: string;
}

export interface Session extends AsyncDisposable {
  /** The processes of the peer itself, for their processor time. */
  readonly pids: Readonly<Record<string, number | undefined>>;
  /** Resolves when the peer has answered for the message. */
  send(body: Body): Promise<void>;
  /** Up to 100 in whatever is the peer's way to send many. */
  sendMany(bodies: readonly Body[]): Promise<void>;
  /** Hands over what comes until it is disposed of; what was handed over is acknowledged. */
  consume(how: ConsumeOptions, handle: (bodies: readonly Body[]) => void): Promise<AsyncDisposable>;
}

export interface ConsumeOptions {
  /** Messages that may be handled together; peers without batches take them one by one. */
  readonly batch: number;
  /** Little comes in, and what counts is how soon it is handled. */
  readonly isQuiet: boolean;
}

export interface Peer {
  readonly name: string;
  /** What an answered send survives, a power cut included. */
  readonly durability: "synced before the answer" | "synced later";
  /** What it needs that is not there; `undefined`: nothing. */
  readonly missing: () => string | undefined;
  /** `folder` exists and is empty. */
  readonly start: (folder: string) => Promise<Session>;
}

const requireHere = createRequire(import.meta.url);

/** Whether `install.sh` has installed a package. */
export function hasPackage(name: string): boolean {
  return existsSync(join(import.meta.dirname, "node_modules", name));
}

/** A package of this folder, the form for `require` where it has two. Its types are written down by who uses it: the compiler does not know whether it is installed. */
export async function loadPackage<T>(name: string): Promise<T> {
  const found = requireHere.resolve(name);
  return (await import(pathToFileURL(found).href)) as T;
}

/** Runs `work` again and again, so many at once, until it answers false. */
export function repeatedly(count: number, work: (place: number) => Promise<boolean>): AsyncDisposable {
  const over = new AbortController();
  const all = Promise.all(
    Array.from({ length: count }, async (_, place) => {
      while (!over.signal.aborted && (await work(place)));
    }),
  );
  all.catch(() => undefined); // told when it is disposed of
  return {
    async [Symbol.asyncDispose]() {
      over.abort();
      await all;
    },
  };
}
