// The end of a history: nothing fails any more, every queue that is to be emptied has a consumer that acknowledges, and then
// everything must be delivered within a bound, what comes in last at once, and every server must stop.

import type { QueueId, QueueRecord } from "../../src/core/index.ts";
import type { ConsumerSketch } from "./history.ts";
import { redriveHolder } from "./judge.ts";
import type { Simulation } from "./simulation.ts";
import type { TrackedMessage } from "./tracked.ts";
import { Violation } from "./violation.ts";

/** The longest lease of a server is 17 minutes, of a client here 2; no delay is longer than a minute. */
const drainsWithinMs = 40 * 60_000;
/** How long leases and places of a server last at the most, and a little more. */
const lapseMs = 18 * 60_000;
/** How long a server may take to learn of settings that another one changed, when the news was lost. */
const newsTakesMs = 90_000;
/** How late a message may be that is due, when nothing is wrong. Less than any poll. */
const promptMs = 1_500;
/** How late a server may learn of a message, on a store that was slow and failed. */
const hintTakesMs = 180_000;
/** The same for what no consumer waits for. More than the time until queues are surveyed again. */
const overdueMs = 15_000;

const willing: ConsumerSketch = {
  type: "worker",
  batchSize: 10,
  maxWaitMs: 500,
  maxRetries: 3,
  retryDelayS: 0,
  maxConcurrency: null,
  visibilityMs: 30_000,
  deadLetterQueue: null,
};

export async function drain(simulation: Simulation): Promise<void> {
  const { world, servers } = simulation;
  world.calm = true;
  const calmSince = world.mono;
  for (const server of servers) {
    server.current?.process.disarm();
    server.current?.process.thaw();
    server.current?.workers.setReady(true);
    if (server.current?.process.alive !== true) server.startIn(0);
  }
  // What was refused or lost on the way before is over soon: the slowest call, and a server that stops.
  await settleDown(simulation);
  await restartForRedrives(simulation);
  simulation.store.assertPurged();
  watchForOverdue(simulation);
  const deadline = world.mono + drainsWithinMs + world.backMs;
  const employed = new Set<QueueId>();
  let over = false;
  let empty = false;
  // A dead letter queue that was deleted may come back meanwhile.
  while (!empty && world.mono < deadline && world.failure === undefined) {
    const queues = queuesOf(simulation).filter(({ id }) => !employed.has(id));
    for (const queue of queues) employ(simulation, queue);
    await world.run(() => false, world.mono + 3_000);
    for (const { id, name } of queues) {
      employed.add(id);
      const polled = (): boolean => over || !simulation.ledger.queues.has(id);
      if (simulation.servers[0]?.run?.controlPlane.view.consumersOf(id)[0]?.type === "http_pull")
        simulation.clients.pollPolitely(name, 5_000, polled);
    }
    empty = await world.run(() => backlog(simulation) === 0, Math.min(deadline, world.mono + 120_000));
  }
  if (world.failure === undefined && !empty) world.fail(new Violation("liveness", describe(simulation)));
  // Places for deliveries that killed servers held are free again when they lapse.
  if (servers.length > 1) await world.run(() => false, calmSince + lapseMs + world.backMs);
  // A handler that runs on holds a place, even when its messages were purged or its consumer is gone.
  await world.run(() => servers.every(({ run }) => run?.workers.running === 0), world.mono + lapseMs);
  await probe(simulation);
  over = true;
  await stopAll(simulation);
}

/** With nothing in the way, leases end and messages expire when it is time, whether or not a consumer asks. */
function watchForOverdue({ world, ledger }: Pick<Simulation, "world" | "ledger">): void {
  /** What was too old at the last look, and how much had happened to it by then. */
  let overdue = new Map<TrackedMessage, number>();
  const look = (): void => {
    const before = overdue;
    overdue = new Map();
    // A sweep is planned when a server learns of a message: late on a store that is slow or fails, and by the clock of then.
    const lateMs = hintTakesMs + world.aheadMs + world.frozenMs;
    for (const { id, messages } of ledger.queues.values()) {
      const retentions = ledger.settings.queuesSince(id, world.mono).map(({ retention_s: s }) => s * 1_000);
      for (const message of messages) {
        const { lease, storedAt, trail } = message;
        const endedMs = lease === undefined ? 0 : world.now() - lease.endsAt;
        const stuck = (): string => `its lease ended ${endedMs} ms ago, and it was not taken back`;
        ledger.claim(endedMs <= overdueMs, "promptness", stuck, message);
        if (lease !== undefined || world.now() - storedAt <= Math.max(...retentions) + lateMs) continue;
        // A clock that was set back makes later messages look older, and a sweep goes by the order of arrival.
        const same = before.get(message) === trail.length && !world.wentBack;
        ledger.claim(!same, "retention", () => "it is older than its queue's retention, and does not expire", message);
        overdue.set(message, trail.length);
      }
    }
    world.post(overdueMs, look);
  };
  look();
}

async function settleDown({ world, servers }: Simulation): Promise<void> {
  const up = await world.run(
    () => servers.every(({ run }) => run !== undefined && run.stopping === undefined),
    world.mono + 15 * 60_000,
  );
  await world.run(() => false, world.mono + newsTakesMs + world.backWhileRunningMs);
  if (world.failure === undefined && !up) world.fail(new Violation("stop", "a server did not stop or start"));
}

/** What a redrive had leased when its answer was lost comes back at the next start. */
async function restartForRedrives(simulation: Simulation): Promise<void> {
  const { ledger, servers } = simulation;
  const held = [...ledger.leases.values()].some(
    ({ holder, message }) => holder === redriveHolder && message.lease?.holder === redriveHolder,
  );
  if (!held) return;
  servers[0]?.stop(1_000, 0);
  await settleDown(simulation);
}

function queuesOf({ servers }: Simulation): readonly QueueRecord[] {
  return servers[0]?.run?.controlPlane.view.all("queue") ?? [];
}

function consumerOf({ servers }: Simulation, queue: QueueRecord): string | undefined {
  return servers[0]?.run?.controlPlane.view.consumersOf(queue.id)[0]?.type;
}

/** Resumes a queue and gives it a consumer where it has none; leaves alone what needs nothing, so that it has to move by itself. */
function employ(simulation: Simulation, queue: QueueRecord): void {
  const { clients, history } = simulation;
  const leftToRetention = queue.retention_s <= 600 && history.seed % 2 === 0;
  if (leftToRetention) return;
  if (queue.paused) {
    clients.settings(0, {
      queue: queue.name,
      paused: false,
      delayS: queue.delivery_delay_s,
      retentionS: queue.retention_s,
    });
  }
  if (consumerOf(simulation, queue) === undefined) clients.consumer(0, queue.name, willing);
}

function backlog({ ledger }: Simulation): number {
  let count = 0;
  for (const { messages } of ledger.queues.values()) count += messages.size;
  return count;
}

/** One more message for each queue with an idle push consumer: it must be handed over when it is due. */
async function probe(simulation: Simulation): Promise<void> {
  const { world, ledger, clients, servers } = simulation;
  const queues = queuesOf(simulation).filter((queue) => !queue.paused && consumerOf(simulation, queue) === "worker");
  let id = 1_000_000;
  for (const queue of queues) {
    if (world.failure !== undefined) return;
    const [consumer] = servers[0]?.run?.controlPlane.view.consumersOf(queue.id) ?? [];
    const maxWaitMs = consumer?.type === "worker" ? consumer.max_wait_ms : 0;
    id += 1;
    const server = id % servers.length;
    const down = id % 3 === 0; // the Worker is being deployed when it comes in
    if (down) for (const each of servers) each.current?.workers.setReady(false);
    clients.send({ id, server, queue: queue.name, delays: [0], batchDelayS: null, passage: "arrives" });
    await world.run(() => false, world.mono + (down ? 30_000 : 0));
    if (down) for (const each of servers) each.current?.workers.setReady(true);
    const handed = (): boolean =>
      [...ledger.leases.values()].some(({ message, handedAt }) => message.text === `${id}.0` && handedAt !== undefined);
    const soon = await world.run(handed, world.mono + maxWaitMs + promptMs);
    if (world.failure === undefined && !soon) {
      const state = JSON.stringify(servers.map(({ run }) => run?.broker.loopOf(queue.id)?.state()));
      world.fail(new Violation("promptness", `a message for ${queue.name} was not handed over in time: ${state}`));
    }
    await world.run(() => backlog(simulation) === 0, world.mono + 60_000);
  }
}

async function stopAll({ world, servers }: Simulation): Promise<void> {
  for (const server of servers) server.stop(1_000, Number.MAX_SAFE_INTEGER / 2);
  const stopped = await world.run(
    () => servers.every(({ current }) => current?.process.alive !== true),
    world.mono + 60_000,
  );
  if (world.failure === undefined && !stopped)
    world.fail(new Violation("stop", "a server with nothing to do did not stop"));
}

function describe(simulation: Simulation): string {
  const { ledger, servers, world } = simulation;
  const lines = [...ledger.queues.values()]
    .filter(({ messages }) => messages.size > 0)
    .map(({ id, messages }) => {
      const [message] = messages;
      const states = servers.map(({ run }) => run?.broker.loopOf(id)?.state());
      const life = message?.trail.join("\n    ") ?? "";
      return `${messages.size} messages stay in ${ledger.settings.nameOf(id)}; loops: ${JSON.stringify(states)}; the first:\n    ${life}`;
    });
  return `at ${world.mono} ms, with nothing in the way:\n  ${lines.join("\n  ")}`;
}
