// A server on a data folder for the length of one command: on free ports of this machine, heard only when something is wrong.

import { openDataFolder, parseSettings } from "../config/index.ts";
import { createLogger } from "../observability/index.ts";
import { usageFailure } from "./command-failure.ts";
import type { CommandContext } from "./command-context.ts";
import type { Target } from "./target.ts";

export interface TemporaryServer extends AsyncDisposable {
  readonly target: Target & { readonly accountId: string };
}

/** Throws `DATA_LOCKED` when another server has the folder. */
export async function startTemporaryServer(context: CommandContext, data: string): Promise<TemporaryServer> {
  const { env, cwd, stderr } = context.terminal;
  const flags = { data, host: "127.0.0.1", port: "0", workerPort: "0" };
  const parsed = parseSettings({ flags, env, cwd, isTerminal: true });
  if (parsed.kind === "invalid") throw usageFailure(parsed.problems.map(({ message }) => message).join("\n"));
  const logger = createLogger({ format: "pretty", level: "warn", story: false, destination: stderr, env });
  const folder = await openDataFolder({
    path: parsed.settings.data,
    accountId: parsed.settings.accountId,
    token: parsed.settings.apiToken,
    random: { bytes: (count) => crypto.getRandomValues(new Uint8Array(count)) },
  });
  if (folder.tokenIsNew) logger.info("token.created", { token: folder.token, file: folder.tokenFile });
  const settings = { ...parsed.settings, accountId: folder.accountId, apiToken: folder.token };
  const server = await context.startServer(settings, { logger });
  return {
    target: { api: server.apiUrl, token: server.token, accountId: server.accountId },
    [Symbol.asyncDispose]: async () => await server.stop(),
  };
}
