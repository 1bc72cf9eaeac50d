// Cuts a history that breaks a law down to one that still breaks the same law with as little as possible.

import type { History, Operation, Profile } from "./history.ts";
import { simulate } from "./simulation.ts";
import type { Law } from "./violation.ts";

const mostTries = 600;
const mostRounds = 10;

/** Settings of a profile at which nothing is special. */
const plain: Profile = {
  servers: 1,
  clockGoesBack: false,
  storeMs: 0,
  slowStore: 0,
  slowStoreMs: 0,
  failBefore: 0,
  loseReply: 0,
  inOrder: true,
  lostHints: 0,
  bareHints: 0,
  slicedPurge: false,
  handlerMs: 0,
  notDelivered: 0,
  died: 0,
  timedOut: 0,
  mood: "well",
};

export async function shrink(history: History, law: Law): Promise<History> {
  let best = history;
  let tries = 0;
  const accept = async (candidate: History): Promise<boolean> => {
    if (tries >= mostTries) return false;
    tries += 1;
    const { violation } = await simulate(candidate);
    if (violation?.law !== law) return false;
    best = candidate;
    return true;
  };
  for (let round = 0; round < mostRounds; round += 1) {
    const size = sizeOf(best);
    await withoutOperations(() => best, accept);
    for (const simpler of simplerProfiles(best.profile))
      await accept({ ...best, profile: { ...best.profile, ...simpler } });
    for (const name of best.queues.map((queue) => queue.name)) {
      await accept({ ...best, queues: best.queues.filter((queue) => queue.name !== name) });
    }
    for (const operation of best.operations) {
      for (const simpler of simplerOperations(operation)) {
        const operations = best.operations.map((each) => (each.id === operation.id ? simpler : each));
        await accept({ ...best, operations });
      }
    }
    if (sizeOf(best) === size) break;
  }
  return best;
}

/** Leaves out half of the operations, then quarters, down to single ones. */
async function withoutOperations(best: () => History, accept: (candidate: History) => Promise<boolean>): Promise<void> {
  for (
    let chunk = Math.ceil(best().operations.length / 2);
    chunk >= 1;
    chunk = chunk === 1 ? 0 : Math.ceil(chunk / 2)
  ) {
    for (let from = 0; from < best().operations.length;) {
      const operations = best().operations.toSpliced(from, chunk);
      if (!(await accept({ ...best(), operations }))) from += chunk;
    }
  }
}

function simplerProfiles(profile: Profile): Partial<Profile>[] {
  return Object.entries(plain)
    .filter(([key, value]) => profile[key as keyof Profile] !== value)
    .map(([key, value]) => ({ [key]: value }));
}

function simplerOperations(operation: Operation): Operation[] {
  switch (operation.kind) {
    case "send":
      return [
        ...(operation.delays.length > 1 ? [{ ...operation, delays: operation.delays.slice(0, 1) }] : []),
        ...(operation.delays.some((delay) => delay !== null)
          ? [{ ...operation, delays: operation.delays.map(() => null) }]
          : []),
        ...(operation.batchDelayS === null ? [] : [{ ...operation, batchDelayS: null }]),
        ...(operation.passage === "arrives" ? [] : [{ ...operation, passage: "arrives" } as const]),
      ];
    case "pull":
      return operation.passage === "arrives" ? [] : [{ ...operation, passage: "arrives" }];
    default:
      return [];
  }
}

function sizeOf(history: History): number {
  return JSON.stringify(history).length;
}
