// A whole server, put together: store, control plane, Workers, broker, REST API. Knows every layer; decides nothing.

import { join } from "node:path";
import { createApi, tokenAuthenticator } from "./api/index.ts";
import { Backups, Broker, catalogEvents, Conservation, ControlPlane, Intake } from "./broker/index.ts";
import type { RunningServer, StartServer } from "./cli/index.ts";
import { readServerFile } from "./config/index.ts";
import type { ServerSettings } from "./config/index.ts";
import { isMillraceError, MillraceError, toHex } from "./core/index.ts";
import type { Holder, Logger, StorageEngine } from "./core/index.ts";
import { openSqliteEngine } from "./engines/sqlite/index.ts";
import { landingPage } from "./landing-page.ts";
import { createMetrics, observeLogger } from "./observability/index.ts";
import type { QueueReading } from "./observability/index.ts";
import { systemClock as clock, systemRandom as random, systemTimers as timers } from "./system.ts";
import { WorkerHost } from "./worker-host/index.ts";

/** How long a stopping server waits for handlers before it gives their batches back. */
const drainGraceMs = 30_000;
/** How long requests to Workers may go on once the server stops. */
const requestGraceMs = 5_000;

/** Makes the function that starts a server; `version` is the package's. */
export function serverOf(version: string): StartServer {
  return async (settings, { logger }) => await startServer(settings, version, logger);
}

async function startServer(settings: ServerSettings, version: string, log: Logger): Promise<RunningServer> {
  const { accountId, apiToken } = settings;
  if (accountId === undefined || apiToken === undefined) throw new Error("the settings name no account or token");
  if (settings.databaseUrl !== undefined) {
    throw new MillraceError(
      "SETTING_UNSUPPORTED",
      "MILLRACE_DATABASE_URL is set, but this version stores messages in the data folder only",
    );
  }
  await using started = new AsyncDisposableStack();
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  failed.catch(() => undefined); // whoever runs the server is told by `closed`
  const engine = started.use(await openEngine(settings, log, fail));
  const controlPlane = started.use(await ControlPlane.open(engine.catalog, clock, random));
  const metrics = createMetrics({
    queues: async () => await readQueues(engine, controlPlane),
    now: Date.now,
    process: true,
  });
  const logger = observeLogger(log, metrics.observe);
  let told = controlPlane.view;
  controlPlane.onChange((view) => {
    for (const { event, fields } of catalogEvents(told, view)) logger.info(event, fields);
    told = view;
  });
  const catalog = (): ControlPlane["view"] => controlPlane.view;
  const intake = new Intake({
    engine,
    clock,
    random,
    catalog,
    onAccepted: (queue, count, ms) => logger.debug("message.accepted", { queue: queue.name, count, ms }),
  });
  const host = started.use(
    await WorkerHost.open({
      controlPlane,
      intake,
      blobs: engine.catalog,
      backlogOf: async (queue) => (await engine.metrics(queue)).backlog,
      clock,
      logger,
      runFolder: join(settings.data, "run"),
      openToOthers: settings.insecure,
      serverPorts: [settings.port, settings.workerPort],
    }),
  );
  started.use(new Conservation({ engine, controlPlane, clock, timers, logger }));
  const broker = await Broker.start({
    engine,
    controlPlane,
    target: host,
    clock,
    timers,
    logger,
    holder: `server:${toHex(random.bytes(16))}` as Holder,
  });
  const drain = async (): Promise<void> => await broker.stop(AbortSignal.timeout(drainGraceMs));
  started.defer(drain);
  const backups = started.use(
    await Backups.open({ engine, folder: join(settings.data, "backup"), clock, timers, random, logger }),
  );
  const api = started.use(
    createApi({
      backups,
      controlPlane,
      intake,
      engine,
      broker,
      host,
      clock,
      random,
      logger,
      accountId,
      version,
      requestLimit: settings.apiRateLimit ?? undefined,
      authenticate: tokenAuthenticator({ adminToken: apiToken, catalog, clock }),
    }),
  );
  api.server.get("/metrics", async (_request, reply) => {
    reply.header("content-type", metrics.contentType);
    return await metrics.render();
  });
  const router = await host.openRouter({
    host: settings.host,
    port: settings.workerPort,
    defaultWorker: settings.defaultWorker,
  });
  started.defer(async () => await router.close(requestGraceMs));
  // Deliveries end first, and are waited for later: requests that take their time do not keep them going.
  started.defer(() => void drain().catch(() => undefined)); // whoever waits for it is told
  let page = "";
  api.server.get("/", (_request, reply) => reply.header("content-type", "text/html; charset=utf-8").send(page));
  const address = await api.listen({ host: settings.host, port: settings.port });
  page = landingPage({ version, apiUrl: `${address}/client/v4`, workersUrl: router.url });
  return running(started.move(), failed, {
    apiUrl: `${address}/client/v4`,
    consoleUrl: `${address}/`,
    workersUrl: router.url,
    accountId,
    token: apiToken,
  });
}

/** Stops everything in the reverse order of its start: new deliveries and what accepts first, the store last. */
function running(
  parts: AsyncDisposableStack,
  failed: Promise<never>,
  facts: Omit<RunningServer, "stop" | "closed">,
): RunningServer {
  const { promise: stopped, resolve } = Promise.withResolvers<void>();
  const closed = Promise.race([stopped, failed]);
  closed.catch(() => undefined); // told to whoever waits for it
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    stopping ??= parts.disposeAsync().finally(resolve);
    await stopping;
  };
  return { ...facts, stop, closed };
}

/** Queues read in one go of the store. */
const queuesAtOnce = 256;

/** What the store counts of every queue, under its name, for the metrics. */
async function readQueues(engine: StorageEngine, controlPlane: ControlPlane): Promise<readonly QueueReading[]> {
  const queues = controlPlane.view.all("queue");
  const readings: QueueReading[] = [];
  for (let from = 0; from < queues.length; from += queuesAtOnce) {
    const reading = queues.slice(from, from + queuesAtOnce).map(async ({ id, name }) => {
      try {
        readings.push({ ...(await engine.metrics(id)), queue: name });
      } catch (error) {
        if (!isMillraceError(error, "QUEUE_NOT_FOUND")) throw error; // deleted meanwhile
      }
    });
    await Promise.all(reading);
  }
  return readings;
}

async function openEngine(
  settings: ServerSettings,
  logger: Logger,
  onFailure: (error: Error) => void,
): Promise<StorageEngine> {
  try {
    return await openSqliteEngine({ folder: settings.data, clock, logger, onFailure });
  } catch (error) {
    if (!isMillraceError(error, "DATA_LOCKED")) throw error;
    const other = await readServerFile(settings.data);
    if (other.kind !== "running") throw error; // it says itself who has it, where the system knows
    const who = `the server with process id ${other.address.pid}`;
    throw new MillraceError("DATA_LOCKED", `The data folder ${settings.data} is in use by ${who}`, { cause: error });
  }
}
