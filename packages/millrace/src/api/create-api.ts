// Assembles the REST API: routes, server, start and stop.

import type { FastifyInstance } from "fastify";
import { accountRoutes } from "./account.ts";
import { auditRoutes } from "./audit.ts";
import { consumerRoutes } from "./consumers.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { messageRoutes } from "./messages.ts";
import { purgeRoutes } from "./purges.ts";
import { queueRoutes } from "./queues.ts";
import type { Route } from "./route.ts";
import { buildServer } from "./server.ts";
import { tokenRoutes } from "./tokens.ts";
import { elsewhereRoutes } from "./workers/elsewhere.ts";
import { scriptRoutes } from "./workers/scripts.ts";
import { secretRoutes } from "./workers/secrets.ts";
import { WorkerUploads } from "./workers/uploads.ts";
import { versionRoutes } from "./workers/versions.ts";

export interface Api extends AsyncDisposable {
  /** The Fastify instance: register more (console, metrics) on it before `listen`, or inject requests in tests. */
  readonly server: FastifyInstance;
  /** Starts to accept connections; answers the address, for example `http://127.0.0.1:8788`. */
  listen(options: { readonly host: string; readonly port: number }): Promise<string>;
  /** Stops accepting, ends what waits (long polls, tails), lets the rest finish. May be called repeatedly. */
  close(): Promise<void>;
}

export function createApi(dependencies: ApiDependencies): Api {
  const stopping = new AbortController();
  const server = buildServer({
    routes: routesOf(dependencies),
    accountId: dependencies.accountId,
    authenticate: dependencies.authenticate,
    logger: dependencies.logger,
    stopping: stopping.signal,
  });
  const close = async (): Promise<void> => {
    stopping.abort();
    await server.close();
  };
  return { server, listen: async (options) => await server.listen(options), close, [Symbol.asyncDispose]: close };
}

function routesOf(dependencies: ApiDependencies): readonly Route[] {
  const uploads = new WorkerUploads(dependencies);
  return [
    ...accountRoutes(dependencies),
    ...queueRoutes(dependencies),
    ...consumerRoutes(dependencies),
    ...purgeRoutes(dependencies),
    ...messageRoutes(dependencies),
    ...scriptRoutes(dependencies, uploads),
    ...versionRoutes(dependencies, uploads),
    ...secretRoutes(dependencies, uploads),
    ...elsewhereRoutes(dependencies),
    ...tokenRoutes(dependencies),
    ...auditRoutes(dependencies),
  ];
}
