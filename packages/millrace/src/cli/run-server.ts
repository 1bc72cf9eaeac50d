// A server from start to a clean stop, as `serve` and `dev` run it: identity, log, readiness, signals, drain.

import { announceServer, isOpenToOthers, openDataFolder } from "../config/index.ts";
import type { ServerSettings, SettingProblem } from "../config/index.ts";
import { errorCatalogue, isMillraceError } from "../core/index.ts";
import type { Logger, Random } from "../core/index.ts";
import { createLogger } from "../observability/index.ts";
import { giveMemoryBackWhenQuiet } from "../threads/index.ts";
import { assertNoBackupThere } from "./backup/data-place.ts";
import { exitCodes, failureText } from "./command-failure.ts";
import type { CommandContext } from "./command-context.ts";
import type { RunningServer } from "./server-port.ts";
import { stopSignals } from "./stop-signals.ts";

export interface ServerRun {
  readonly settings: ServerSettings;
  readonly warnings: readonly SettingProblem[];
  /** Show every message's way, not only what needs attention. */
  readonly story: boolean;
  /** Whether the end of the process that started this one ends the server too. */
  readonly endsWithParent: boolean;
  /** Runs beside the server from its readiness on; the server stops when `requestStop` is called. */
  readonly beside?: (
    server: RunningServer,
    logger: Logger,
    requestStop: (reason: string) => void,
  ) => Promise<AsyncDisposable>;
}

const random: Random = { bytes: (count) => crypto.getRandomValues(new Uint8Array(count)) };

/** Runs until a signal, `requestStop`, or the server's own end. Answers the exit code. */
export async function runServer(context: CommandContext, run: ServerRun): Promise<number> {
  const { terminal } = context;
  const { logFormat: format, logLevel: level } = run.settings;
  const destination = terminal.log?.() ?? terminal.stdout;
  const logger = createLogger({ format, level, story: run.story, destination, env: terminal.env });
  for (const { message } of run.warnings) logger.warn("setting.warning", { message });

  using signals = stopSignals({ parent: run.endsWithParent });
  try {
    await assertNoBackupThere(run.settings.data);
    const folder = await openDataFolder({
      path: run.settings.data,
      accountId: run.settings.accountId,
      token: run.settings.apiToken,
      random,
    });
    if (folder.tokenIsNew) logger.info("token.created", { token: folder.token, file: folder.tokenFile });
    if (await isOpenToOthers(folder.path)) {
      logger.warn("setting.warning", {
        message: `Other users of this machine can look into ${folder.path}. Mend it: chmod 700 ${folder.path}`,
      });
    }
    const settings = Object.freeze({ ...run.settings, accountId: folder.accountId, apiToken: folder.token });
    const server = await context.startServer(settings, { logger });
    await whileItRuns(server, run, logger, signals.requested);
    return exitCodes.success;
  } catch (error) {
    logger.error("server.failed", failureFields(error));
    return exitCodes.failure;
  }
}

async function whileItRuns(
  server: RunningServer,
  run: ServerRun,
  logger: Logger,
  signalled: Promise<string>,
): Promise<void> {
  const { promise: asked, resolve: requestStop } = Promise.withResolvers<string>();
  const ended = Promise.race([signalled, asked, server.closed.then(() => undefined)]);
  ended.catch(() => undefined); // awaited below; until then its failure is not unhandled

  // Undone in reverse: what runs beside, then the announcement, then the server.
  await using resources = new AsyncDisposableStack();
  resources.defer(async () => {
    const began = performance.now();
    await server.stop();
    logger.info("server.stopped", { ms: performance.now() - began });
  });
  const { apiUrl: api, consoleUrl: console, workersUrl: workers, accountId: account_id, token } = server;
  const { pid } = process;
  resources.use(await announceServer(run.settings.data, { pid, api, console, workers, account_id, token }));
  resources.use(giveMemoryBackWhenQuiet());
  logger.info("ready", { api, console, workers, account_id, pid });
  if (run.beside !== undefined) resources.use(await run.beside(server, logger, requestStop));
  const reason = await ended;
  if (reason !== undefined) logger.info("server.draining", { reason });
}

/** A failure to start or to go on, in words that say what to do. */
function failureFields(error: unknown): {
  readonly message: string;
  readonly remedy?: string;
  readonly stack?: string;
} {
  if (isMillraceError(error)) return { message: error.message };
  if (error instanceof Error && "code" in error && "port" in error) {
    const port = `Port ${String(error.port)}${"address" in error ? ` of ${String(error.address)}` : ""}`;
    if (error.code === "EADDRINUSE") {
      return {
        message: `${port} is taken by another program.`,
        remedy: "Stop it, or choose another with --port (API) or --worker-port (Workers); 0 takes any free one.",
      };
    }
    if (error.code === "EACCES") {
      return {
        message: `${port} may not be opened by this user.`,
        remedy: "Choose one above 1023.",
      };
    }
  }
  if (error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT")) {
    return {
      message: `The disk that holds the data folder is full: ${error.message}.`,
      remedy: "Free space on it and start the server again; nothing accepted before is lost.",
    };
  }
  if (error instanceof Error && "code" in error && ["EROFS", "EACCES", "EPERM"].includes(String(error.code))) {
    return {
      message: `The data folder cannot be used: ${error.message}.`,
      remedy: errorCatalogue.DATA_UNWRITABLE.remedy,
    };
  }
  const [message = "", ...stack] = failureText(error).split("\n");
  return { message, ...(stack.length > 0 ? { stack: stack.join("\n") } : {}) };
}
