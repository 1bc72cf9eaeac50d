// A history from a seed: what the queues are, what is done to them, and what goes wrong meanwhile.

import { Dice } from "./dice.ts";
import type { ConsumerSketch, History, Operation, OperationKind, Passage, Profile, QueueSketch } from "./history.ts";

const names = ["orders", "mails", "dead"] as const;

export function generate(seed: number): History {
  const dice = new Dice(seed, "history");
  const profile = profileOf(dice, new Dice(seed, "clock"));
  const count = dice.between(1, 3);
  const queues = names.slice(0, count).map((name) => queueSketch(dice, name));
  const lengthMs = dice.pick([5_000, 30_000, 120_000, 600_000]);
  const kinds = weightedKinds(dice, profile.servers);
  const operations = Array.from({ length: dice.between(4, 45) }, () => dice.between(0, lengthMs))
    .toSorted((a, b) => a - b)
    .map((at, id) => operationOf(dice, dice.pick(kinds), id, at, profile, queues))
    .map((operation, index, all) => soonAfterWork(dice, operation, all.slice(0, index)))
    .toSorted((a, b) => a.at - b.at);
  return { seed, profile, queues, operations };
}

/** Interruptions are most telling while something is on its way: half of them come soon after a send or a pull. */
function soonAfterWork(dice: Dice, operation: Operation, before: readonly Operation[]): Operation {
  const interrupts = ["crash", "freeze", "stop", "kill", "deploy", "disk", "jump"].includes(operation.kind);
  const work = before.filter(({ kind }) => kind === "send" || kind === "pull");
  if (!interrupts || work.length === 0 || dice.chance(0.5)) return operation;
  return { ...operation, at: dice.pick(work).at + dice.skewed(20_000) };
}

function profileOf(dice: Dice, clockDice: Dice): Profile {
  const faulty = dice.chance(0.6);
  const servers = dice.pick([1, 1, 1, 2, 3]);
  return {
    servers,
    clockGoesBack: servers > 1 && clockDice.chance(0.3),
    storeMs: dice.pick([0, 1, 3, 20]),
    slowStore: dice.chance(0.3) ? 0.1 : 0,
    slowStoreMs: dice.pick([200, 2_000, 30_000]),
    failBefore: faulty ? dice.pick([0, 0.03, 0.2]) : 0,
    loseReply: faulty ? dice.pick([0, 0.03, 0.2]) : 0,
    inOrder: dice.chance(0.5),
    lostHints: dice.chance(0.3) ? dice.pick([0.1, 1]) : 0,
    bareHints: dice.pick([0, 0.5, 1]),
    slicedPurge: dice.chance(0.5),
    handlerMs: dice.pick([0, 50, 2_000, 60_000]),
    notDelivered: dice.chance(0.4) ? 0.15 : 0,
    died: dice.chance(0.4) ? 0.1 : 0,
    timedOut: dice.chance(0.1) ? 0.1 : 0,
    mood: dice.pick(["well", "mixed", "mixed", "failing"]),
  };
}

function queueSketch(dice: Dice, name: string): QueueSketch {
  return {
    name,
    delayS: dice.chance(0.2) ? dice.between(1, 30) : 0,
    retentionS: dice.chance(0.2) ? dice.pick([60, 120, 600]) : 345_600,
    consumer: dice.chance(name === "dead" ? 0.5 : 0.9) ? consumerSketch(dice, name) : null,
  };
}

function consumerSketch(dice: Dice, queue: string): ConsumerSketch {
  const targets = names.filter((name) => name !== queue);
  return {
    type: dice.chance(0.65) ? "worker" : "http_pull",
    batchSize: dice.pick([1, 2, 5, 10, 100]),
    maxWaitMs: dice.pick([0, 0, 500, 5_000]),
    maxRetries: dice.pick([0, 1, 2, 3, 10]),
    retryDelayS: dice.chance(0.3) ? dice.between(1, 60) : 0,
    maxConcurrency: dice.pick([null, null, 1, 2]),
    visibilityMs: dice.pick([1_000, 5_000, 30_000]),
    deadLetterQueue: dice.chance(0.6) ? dice.pick(targets) : null,
  };
}

/** Which kinds of operations this history has at all, the frequent ones several times. */
function weightedKinds(dice: Dice, servers: number): OperationKind[] {
  const always: OperationKind[] = ["send", "send", "send", "send", "pull", "pull"];
  const sometimes: readonly OperationKind[] = [
    "crash",
    "crash",
    "freeze",
    "stop",
    "jump",
    "deploy",
    "kill",
    "mood",
    "disk",
    "purge",
    "purgeSome",
    "settings",
    "consumer",
    "deleteQueue",
    "createQueue",
    "rename",
    ...(servers === 1 ? (["redrive"] as const) : []),
  ];
  const share = dice.pick([0, 0.15, 0.5]);
  return [...always, ...sometimes.filter(() => dice.chance(share))];
}

function operationOf(
  dice: Dice,
  kind: OperationKind,
  id: number,
  at: number,
  profile: Profile,
  queues: readonly QueueSketch[],
): Operation {
  const queue = dice.pick(queues).name;
  const server = dice.between(0, profile.servers - 1);
  switch (kind) {
    case "send": {
      const delays = Array.from({ length: 1 + dice.skewed(11) }, () =>
        dice.chance(0.15) ? dice.between(0, 60) : null,
      );
      const batchDelayS = dice.chance(0.1) ? dice.between(0, 30) : null;
      return { kind, id, at, server, queue, delays, batchDelayS, passage: passageOf(dice) };
    }
    case "pull":
      return {
        kind,
        id,
        at,
        server,
        queue,
        max: dice.pick([1, 5, 100]),
        visibilityMs: dice.chance(0.5) ? null : dice.pick([0, 500, 10_000, 120_000]),
        waitMs: dice.chance(0.4) ? dice.between(1_000, 60_000) : 0,
        leavesAfterMs: dice.chance(0.1) ? dice.between(0, 5_000) : null,
        passage: passageOf(dice),
        plan: {
          thinkMs: dice.skewed(60_000),
          ack: dice.pick([1, 1, 0.5, 0]),
          retry: dice.pick([0, 0.5, 1]),
          retryDelayS: dice.chance(0.5) ? null : dice.between(0, 20),
          extendMs: dice.chance(0.2) ? dice.between(0, 60_000) : null,
          againMs: dice.chance(0.2) ? dice.between(0, 60_000) : null,
        },
      };
    case "purge":
      return { kind, id, at, server, queue };
    case "purgeSome":
      return { kind, id, at, server, queue, count: dice.between(1, 4) };
    case "settings":
      return {
        kind,
        id,
        at,
        server,
        queue,
        paused: dice.chance(0.4),
        delayS: dice.chance(0.3) ? dice.between(1, 30) : 0,
        retentionS: dice.pick([60, 300, 345_600, 345_600]),
      };
    case "consumer":
      return { kind, id, at, server, queue, consumer: dice.chance(0.2) ? null : consumerSketch(dice, queue) };
    case "deleteQueue":
    case "createQueue":
      return { kind, id, at, server, queue: dice.pick([...names, "dead"]) };
    case "redrive":
      return {
        kind,
        id,
        at,
        server,
        queue: dice.pick([...names, "dead"]),
        to: dice.pick(names),
        max: dice.pick([2, 100]),
      };
    case "rename":
      return { kind, id, at, server, queue: dice.pick([...names, "spare"]), to: dice.pick([...names, "spare"]) };
    case "crash":
      return {
        kind,
        id,
        at,
        server,
        steps: dice.chance(0.4) ? 0 : dice.skewed(40),
        downMs: dice.pick([0, 200, 5_000, 60_000]),
      };
    case "stop":
      return { kind, id, at, server, giveUpMs: dice.pick([0, 1_000, 25_000]), downMs: dice.pick([0, 200, 5_000]) };
    case "freeze":
      return {
        kind,
        id,
        at,
        server,
        steps: dice.chance(0.4) ? 0 : dice.skewed(40),
        ms: dice.pick([100, 5_000, 60_000, 1_200_000]),
      };
    case "jump":
      return { kind, id, at, ms: dice.pick([-3_600_000, -5_000, 1_000, 60_000, 3_600_000]) };
    case "deploy":
      return { kind, id, at, server, ms: dice.pick([50, 3_000, 60_000]) };
    case "kill":
      return { kind, id, at, server };
    case "mood":
      return { kind, id, at, mood: dice.pick(["well", "mixed", "failing"]), ms: dice.pick([1_000, 30_000]) };
    case "disk":
      return { kind, id, at, state: dice.pick(["full", "unavailable", "slow"]), ms: dice.pick([500, 20_000, 120_000]) };
    default:
      return kind satisfies never;
  }
}

function passageOf(dice: Dice): Passage {
  return dice.chance(0.8) ? "arrives" : dice.pick(["lost", "replyLost", "doubled"]);
}
