// What the commands need of a server. The composition root provides it, so that commands know no engine and no listener.

import type { ServerSettings } from "../config/index.ts";
import type { Logger } from "../core/index.ts";

export interface RunningServer {
  /** Ends in `/client/v4`. */
  readonly apiUrl: string;
  readonly consoleUrl: string;
  readonly workersUrl: string;
  readonly accountId: string;
  /** The administrator token. */
  readonly token: string;
  /** Drains and stops: batches in flight finish or return without costing an attempt. May be called twice. */
  stop(): Promise<void>;
  /** Settles when the server has ended; rejects when it ended by itself. */
  readonly closed: Promise<void>;
}

/** Starts a server; resolves when it accepts requests. The settings always name account and token. */
export type StartServer = (
  settings: ServerSettings,
  dependencies: { readonly logger: Logger },
) => Promise<RunningServer>;
