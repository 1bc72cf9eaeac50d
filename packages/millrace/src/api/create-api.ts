// Assembles the REST API: routes, server, start and stop.

import type { FastifyInstance } from "fastify";
import { accountRoutes } from "./account.ts";
import { accountingRoutes } from "./accounting.ts";
import { apiRoot } from "./api-root.ts";
import { auditRoutes } from "./audit.ts";
import { backupRoutes } from "./backups.ts";
import { consumerRoutes } from "./consumers.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { Listeners } from "./listeners.ts";
import { messageRoutes } from "./messages.ts";
import { extensionRoutes } from "./extensions.ts";
import { registerHealth } from "./health.ts";
import { openApiDocument } from "./openapi.ts";
import { purgeRoutes } from "./purges.ts";
import { queueRoutes } from "./queues.ts";
import { RequestLimit } from "./request-limit.ts";
import type { Route } from "./route.ts";
import { buildServer } from "./server.ts";
import { subscriptionRoutes } from "./subscriptions.ts";
import { transferRoutes } from "./transfer.ts";
import { tokenRoutes } from "./tokens.ts";
import { elsewhereRoutes } from "./workers/elsewhere.ts";
import { scriptRoutes } from "./workers/scripts.ts";
import { secretRoutes } from "./workers/secrets.ts";
import { settingRoutes } from "./workers/settings.ts";
import { tailRoutes, Tails } from "./workers/tails.ts";
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

/** How long requests may go on once the API closes. */
const closeGraceMs = 5_000;

export function createApi(dependencies: ApiDependencies): Api {
  const stopping = new AbortController();
  const tails = new Tails(dependencies);
  const routes = routesOf(dependencies, tails);
  const { server, connections } = buildServer({
    routes,
    takesUpgrade: (request) => tails.takes(request),
    accountId: dependencies.accountId,
    authenticate: dependencies.authenticate,
    logger: dependencies.logger,
    requestLimit: new RequestLimit(dependencies.requestLimit, dependencies.clock),
    stopping: stopping.signal,
  });
  tails.attach(server.server);
  registerHealth(server, dependencies.notReady ?? (() => []));
  let document: string | undefined;
  server.get(`${apiRoot}/openapi.json`, (_request, reply) => {
    document ??= JSON.stringify(openApiDocument(routes, dependencies.version ?? "0.0.0"));
    return reply.header("content-type", "application/json").send(document);
  });
  const listeners = new Listeners(server);
  const close = async (): Promise<void> => {
    stopping.abort();
    tails[Symbol.dispose]();
    // Connections on which nothing was ever asked count as busy for Node, so what is left after the grace is cut off.
    const timer = setTimeout(() => {
      connections.closeAll();
      server.server.closeAllConnections();
    }, closeGraceMs);
    await Promise.all([server.close(), listeners[Symbol.asyncDispose]()]);
    clearTimeout(timer);
  };
  return { server, listen: async (address) => await listeners.open(address), close, [Symbol.asyncDispose]: close };
}

function routesOf(dependencies: ApiDependencies, tails: Tails): readonly Route[] {
  const uploads = new WorkerUploads(dependencies);
  return [
    ...accountRoutes(dependencies),
    ...queueRoutes(dependencies),
    ...consumerRoutes(dependencies),
    ...purgeRoutes(dependencies),
    ...messageRoutes(dependencies),
    ...subscriptionRoutes(dependencies),
    ...scriptRoutes(dependencies, uploads),
    ...settingRoutes(dependencies, uploads),
    ...versionRoutes(dependencies, uploads),
    ...secretRoutes(dependencies, uploads),
    ...tailRoutes(dependencies, tails),
    ...elsewhereRoutes(dependencies),
    ...extensionRoutes(dependencies),
    ...accountingRoutes(dependencies),
    ...backupRoutes(dependencies),
    ...transferRoutes(dependencies),
    ...tokenRoutes(dependencies),
    ...auditRoutes(dependencies),
  ];
}
