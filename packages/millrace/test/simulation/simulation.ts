// Runs one history: servers over one store, clients, faults; then calm, in which the backlog must drain; then the last audit.

import type { Delivery } from "../../src/broker/index.ts";
import { putRecord } from "../../src/core/index.ts";
import type { QueueId, VersionId, VersionRecord, WorkerRecord } from "../../src/core/index.ts";
import { openMemoryEngine } from "../../src/engines/memory/index.ts";
import { audit } from "./audit.ts";
import { Clients } from "./clients.ts";
import { drain } from "./drain.ts";
import { Faults } from "./faults.ts";
import type { History, Mood, Operation } from "./history.ts";
import { Ledger } from "./ledger.ts";
import { SimulatedServer } from "./server.ts";
import { Store } from "./store.ts";
import { unexpected, Violation } from "./violation.ts";
import { worker } from "./workers.ts";
import { World } from "./world.ts";

/** What happened in a history, counted. */
export type Statistics = Record<string, number>;

export interface Result {
  /** `undefined`: every law held. */
  readonly violation: Violation | undefined;
  readonly statistics: Statistics;
}

/** Everything of one history while it runs. */
export interface Simulation {
  readonly world: World;
  readonly store: Store;
  readonly ledger: Ledger;
  readonly servers: readonly SimulatedServer[];
  readonly clients: Clients;
  readonly history: History;
}

/** Runs a history to its end or to the first broken law. `log` is told what happens, line by line. */
export async function simulate(history: History, log: (line: string) => void = () => undefined): Promise<Result> {
  const world = new World({ steadyClock: history.profile.clockGoesBack !== true });
  const ledger = new Ledger(world);
  const engine = await openMemoryEngine({ clock: world });
  const store = new Store(engine, ledger, { slicedPurge: history.profile.slicedPurge });
  const faults = new Faults(world, history.profile);
  const statistics: Statistics = {};
  const count = (what: string, by = 1): void => void (statistics[what] = (statistics[what] ?? 0) + by);
  const running = new RunningDeliveries(ledger, count);
  let mood: Mood = history.profile.mood;
  const write = (line: string): void => log(`${String(world.mono).padStart(8)} ms  ${line}`);
  const servers: readonly SimulatedServer[] = Array.from(
    { length: history.profile.servers },
    (_, index) =>
      new SimulatedServer(index, {
        world,
        store,
        faults,
        history,
        mood: () => mood,
        onRunning: (delivery, change) => running.change(delivery, change),
        log: write,
        isAlone: () => servers.every(({ current }) => current?.process.alive !== true),
        onEvent: (event) => count(`log: ${event}`),
      }),
  );
  const serving = (index: number): SimulatedServer["run"] =>
    servers[index]?.run ?? servers.find(({ run }) => run !== undefined)?.run;
  const clients = new Clients(world, ledger, history.seed, serving);
  const simulation = { world, store, ledger, servers, clients, history };

  const onRejection = (error: unknown): void => world.fail(unexpected(error));
  process.on("unhandledRejection", onRejection);
  try {
    await setUp(simulation);
    for (const operation of history.operations) {
      world.post(operation.at, () => {
        write(`operation ${JSON.stringify(operation)}`);
        count(`asked: ${operation.kind}`);
        perform(operation);
      });
    }
    const end = world.mono + (history.operations.at(-1)?.at ?? 0) + 2_000;
    await world.run(() => false, end);
    if (world.failure === undefined) await drain(simulation);
    if (world.failure === undefined) for (const id of ledger.queues.keys()) await audit(engine, ledger, id);
  } catch (error) {
    world.fail(unexpected(error));
  } finally {
    process.off("unhandledRejection", onRejection);
  }
  countEnds(ledger, clients, world, count);
  return { violation: world.failure, statistics };

  function perform(operation: Operation): void {
    switch (operation.kind) {
      case "send":
        return clients.send(operation);
      case "pull":
        return clients.pull(operation);
      case "purge":
        return clients.purge(operation.server, operation.queue);
      case "purgeSome":
        return clients.purgeSome(operation.server, operation.queue, operation.count);
      case "settings":
        return clients.settings(operation.server, operation);
      case "consumer":
        return clients.consumer(operation.server, operation.queue, operation.consumer);
      case "deleteQueue":
        return clients.deleteQueue(operation.server, operation.queue);
      case "createQueue":
        return clients.createQueue(operation.server, operation.queue, { delayS: 0, retentionS: 345_600 });
      case "redrive":
        return clients.redrive(operation.server, operation.queue, operation.to, operation.max);
      case "rename":
        return clients.rename(operation.server, operation.queue, operation.to);
      case "crash": {
        const server = servers[operation.server];
        server?.current?.process.arm(operation.steps, () => {
          count("crashes that happened");
          server.crash(operation.downMs);
        });
        return;
      }
      case "stop":
        servers[operation.server]?.stop(operation.giveUpMs, operation.downMs);
        return;
      case "freeze": {
        const frozen = servers[operation.server]?.current?.process;
        frozen?.arm(operation.steps, () => {
          count("freezes that happened");
          frozen.freeze(operation.ms);
        });
        return;
      }
      case "jump":
        world.jump(operation.ms);
        return;
      case "deploy": {
        const workers = servers[operation.server]?.current?.workers;
        workers?.setReady(false);
        world.post(operation.ms, () => workers?.setReady(true));
        return;
      }
      case "kill":
        servers[operation.server]?.current?.workers.kill();
        return;
      case "mood": {
        mood = operation.mood;
        world.post(operation.ms, () => (mood = history.profile.mood));
        return;
      }
      case "disk":
        faults.disk = operation.state;
        world.post(operation.ms, () => (faults.disk = "well"));
        return;
      default:
        operation satisfies never;
    }
  }
}

/** How long a place for a delivery is held at the most. */
const placesLastMs = 17 * 60_000;

/** Deliveries that run at once, held against `max_concurrency`. */
class RunningDeliveries {
  readonly #ledger: Ledger;
  readonly #count: (what: string) => void;
  readonly #running = new Map<QueueId, Set<Delivery>>();

  constructor(ledger: Ledger, count: (what: string) => void) {
    this.#ledger = ledger;
    this.#count = count;
  }

  change(delivery: Delivery, change: 1 | -1): void {
    const lease = delivery.messages[0]?.lease;
    const tracked = lease === undefined ? undefined : this.#ledger.leases.get(lease);
    if (tracked === undefined) return;
    const running = this.#running.get(tracked.queue) ?? new Set();
    this.#running.set(tracked.queue, running);
    if (change === -1) {
      running.delete(delivery);
      return;
    }
    running.add(delivery);
    this.#count("deliveries");
    let since = this.#ledger.world.mono;
    let together = 0;
    for (const each of running) {
      const other = this.#ledger.leases.get(each.messages[0]?.lease ?? tracked.lease);
      const { most } = this.#ledger.world.wallSince(other?.leasedAt ?? 0);
      if (other === undefined || !other.process.alive || other.endsAt <= most) {
        running.delete(each); // its place has lapsed with its lease
        continue;
      }
      together += 1;
      since = Math.min(since, other.leasedAt);
    }
    const { settings } = this.#ledger;
    const most = Math.max(
      ...settings
        .consumersSince(tracked.queue, since)
        .map((consumer) => (consumer?.type === "worker" ? (consumer.max_concurrency ?? 250) : 0)),
    );
    const { world } = this.#ledger;
    // A server that stands still for longer than its places last goes on with what others have by then.
    const lapsed = world.frozenMs >= placesLastMs || world.longestLeapMs >= placesLastMs;
    this.#ledger.claim(
      together <= most || lapsed,
      "concurrency",
      () => `${together} deliveries of ${settings.nameOf(tracked.queue)} at once, ${most} are allowed`,
    );
  }
}

/** Queues, consumers and the Worker, made before anything goes wrong. */
async function setUp({ world, servers, clients, history }: Simulation): Promise<void> {
  world.calm = true;
  for (const server of servers) server.start();
  await world.run(() => servers.every(({ run }) => run !== undefined), world.mono + 1_000);
  await Promise.all([
    servers[0]?.run?.controlPlane.change("setup", (_view, { now }) => ({
      operations: workerRecords(now),
      audit: [],
      result: undefined,
    })),
    world.run(() => false, world.mono + 10),
  ]);
  for (const queue of history.queues) {
    clients.createQueue(0, queue.name, queue);
    if (queue.consumer !== null) clients.consumer(0, queue.name, queue.consumer);
  }
  await world.run(() => false, world.mono + 2_000);
  if (world.failure === undefined && servers[0]?.run?.controlPlane.view.all("queue").length === 0)
    world.fail(new Violation("catalog", "the queues were not made"));
  world.calm = false;
}

function workerRecords(now: number): ReturnType<typeof putRecord>[] {
  const id = "00000000-0000-4000-8000-000000000001" as VersionId;
  const deployment = {
    id: "1",
    created_at_ms: now,
    source: "simulation",
    strategy: "percentage",
    versions: [{ version_id: id, percentage: 100 }],
    annotations: {},
  } as const;
  const record: WorkerRecord = {
    name: worker,
    tag: "0".repeat(32),
    created_at_ms: now,
    modified_at_ms: now,
    deployments: [deployment],
    last_version: 1,
    subdomain: { enabled: true, previews_enabled: false },
    tags: [],
    settings: {},
  };
  const version: VersionRecord = {
    id,
    worker,
    number: 1,
    created_at_ms: now,
    main_module: "index.js",
    modules: [],
    compatibility_date: "2026-10-01",
    compatibility_flags: [],
    bindings: [],
    handlers: ["queue"],
    annotations: {},
    kept: {},
    etag: "",
    startup_ms: 1,
  };
  return [putRecord("worker", worker, record), putRecord("version", id, version)];
}

function countEnds(ledger: Ledger, clients: Clients, world: World, count: (what: string, by?: number) => void): void {
  count("messages sent", clients.tally.sends);
  count("messages accepted", clients.tally.accepted);
  count("messages pulled", clients.tally.pulled);
  count("requests refused", clients.tally.refused);
  count("events", world.events);
  count("messages stored", ledger.messages.size);
  for (const { end } of ledger.messages.values()) count(end ?? "left in a queue");
  for (const { said, attempts } of ledger.leases.values()) {
    count("leases");
    if (attempts > 1) count("redeliveries");
    if (said.some(({ kind }) => kind === "notDelivered" || kind === "cancelled")) count("deliveries given back");
  }
}
