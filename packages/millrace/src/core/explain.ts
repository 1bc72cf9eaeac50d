// "Why is nothing moving?" Pure: facts about one queue go in, findings in order of weight come out, each with what to do.

import type { Backlog, Readiness } from "./message.ts";
import type { EpochMs } from "./time.ts";

/** What is known of one queue at one moment. */
export interface QueueFacts {
  readonly queue: string;
  readonly now: EpochMs;
  readonly paused: boolean;
  readonly backlog: Backlog;
  readonly readiness: Readiness;
  /** Messages that are damaged on disk: they count as backlog, and nobody is given them. */
  readonly setAside?: number;
  /** Bytes the queue may hold. */
  readonly backlogLimitBytes: number;
  readonly consumer:
    | { readonly type: "none" }
    | { readonly type: "http_pull" }
    | {
        readonly type: "worker";
        readonly worker: string;
        readonly state: "ready" | "starting" | "crashed" | "notDeployed";
        /** Why it is not ready, where known. */
        readonly detail: string | undefined;
        readonly batchSize: number;
        readonly maxWaitMs: number;
        readonly inFlight: number;
        readonly concurrencyTarget: number;
        readonly maxConcurrency: number | null;
        /** The newest failure of the handler, if it has not succeeded since. */
        readonly lastFailure: { readonly at: EpochMs; readonly detail: string } | undefined;
        /** Deliveries are on hold until then. */
        readonly backingOffUntil: EpochMs | undefined;
      };
}

export type FindingCode =
  | "EMPTY"
  | "PAUSED"
  | "NO_CONSUMER"
  | "PULL_CONSUMER_IDLE"
  | "WORKER_NOT_DEPLOYED"
  | "WORKER_CRASHED"
  | "WORKER_STARTING"
  | "HANDLER_FAILING"
  | "AT_CONCURRENCY"
  | "BACKING_OFF"
  | "WAITING_FOR_BATCH"
  | "ALL_DELAYED"
  | "ALL_IN_FLIGHT"
  | "BACKLOG_FULL"
  | "DAMAGED"
  | "MOVING";

export interface Finding {
  readonly code: FindingCode;
  /** One sentence, for people. */
  readonly text: string;
  /** What to do; `undefined` when there is nothing to do. */
  readonly remedy: string | undefined;
}

/** The reasons that hold now, the weightiest first; never empty. */
export function explain(facts: QueueFacts): readonly Finding[] {
  const findings = [...storageFindings(facts), ...deliveryFindings(facts)];
  if (findings.length > 0) return findings;
  const waiting = `${count(facts.readiness.ready)} ready`;
  return [{ code: "MOVING", text: `Nothing is in the way: ${waiting}, and deliveries can start.`, remedy: undefined }];
}

function storageFindings({ backlog, backlogLimitBytes, queue, setAside = 0 }: QueueFacts): Finding[] {
  const damaged: Finding = {
    code: "DAMAGED",
    text: `${count(setAside)} of the backlog: not what was stored, and set aside; nobody is given what is damaged.`,
    remedy: `\`millrace doctor\` says which. Check the disk; the newest backup may have them. To be rid of them: millrace queues purge ${queue}`,
  };
  const found = setAside > 0 ? [damaged] : [];
  if (backlog.bytes < backlogLimitBytes) return found;
  return [
    ...found,
    {
      code: "BACKLOG_FULL",
      text: `The backlog holds ${backlog.bytes} bytes and the limit is ${backlogLimitBytes}: sends are refused.`,
      remedy: `Consume or purge messages (millrace queues purge ${queue}), or raise the limit.`,
    },
  ];
}

function deliveryFindings(facts: QueueFacts): Finding[] {
  const { queue, backlog, consumer, paused } = facts;
  if (backlog.count === 0)
    return [{ code: "EMPTY", text: "The queue is empty: everything sent was dealt with.", remedy: undefined }];
  const findings: Finding[] = [];
  if (paused) {
    findings.push({
      code: "PAUSED",
      text: `Delivery is paused; ${count(backlog.count)} stored meanwhile.`,
      remedy: `Resume it: millrace queues resume ${queue}`,
    });
  }
  switch (consumer.type) {
    case "none":
      findings.push({
        code: "NO_CONSUMER",
        text: `No consumer is attached: ${count(backlog.count)} in the queue, until retention deletes what is there.`,
        remedy: `Name the queue under queues.consumers in a Worker's Wrangler configuration and deploy it, or attach a pull consumer: millrace wrangler queues consumer http add ${queue}`,
      });
      return findings;
    case "http_pull":
      return [...findings, ...stateFindings(facts), ...pullFindings(facts)];
    case "worker":
      return [...findings, ...workerFindings(facts, consumer), ...stateFindings(facts)];
    default:
      return consumer satisfies never;
  }
}

function pullFindings({ readiness, queue }: QueueFacts): Finding[] {
  if (readiness.ready === 0) return [];
  return [
    {
      code: "PULL_CONSUMER_IDLE",
      text: `${count(readiness.ready)} ready; nothing moves until a client pulls.`,
      remedy: `Start the program that pulls, or look at the messages: millrace queues peek ${queue}`,
    },
  ];
}

type WorkerFacts = Extract<QueueFacts["consumer"], { type: "worker" }>;

function workerFindings({ now, readiness }: QueueFacts, worker: WorkerFacts): Finding[] {
  const findings: Finding[] = [];
  const because = worker.detail === undefined ? "" : `: ${worker.detail}`;
  if (worker.state === "notDeployed") {
    findings.push({
      code: "WORKER_NOT_DEPLOYED",
      text: `The consumer, Worker ${worker.worker}, is not deployed${because}.`,
      remedy: "Deploy it: millrace wrangler deploy",
    });
  } else if (worker.state === "crashed") {
    findings.push({
      code: "WORKER_CRASHED",
      text: `Worker ${worker.worker} keeps crashing and is started again with growing pauses${because}.`,
      remedy: `Read its log (millrace workers logs ${worker.worker}), mend it and deploy it again.`,
    });
  } else if (worker.state === "starting") {
    findings.push({ code: "WORKER_STARTING", text: `Worker ${worker.worker} is starting.`, remedy: undefined });
  }
  if (worker.lastFailure !== undefined) {
    findings.push({
      code: "HANDLER_FAILING",
      text: `The handler of ${worker.worker} failed at ${instant(worker.lastFailure.at)}: ${worker.lastFailure.detail}`,
      remedy: `Mend the handler and deploy it; retries go on meanwhile. Its log: millrace workers logs ${worker.worker}`,
    });
  }
  if (worker.backingOffUntil !== undefined && worker.backingOffUntil > now) {
    findings.push({
      code: "BACKING_OFF",
      text: `Deliveries to ${worker.worker} did not get through; the next try is at ${instant(worker.backingOffUntil)}.`,
      remedy: undefined,
    });
  }
  if (worker.inFlight >= worker.concurrencyTarget && readiness.ready > 0) {
    const capped = worker.maxConcurrency !== null && worker.inFlight >= worker.maxConcurrency;
    findings.push({
      code: "AT_CONCURRENCY",
      text: `As many deliveries run as may at once (${worker.inFlight}): ${count(readiness.ready)} behind them.`,
      remedy: capped ? "Raise max_concurrency, or make the handler faster." : undefined,
    });
  } else if (worker.state === "ready" && readiness.ready > 0 && readiness.ready < worker.batchSize) {
    const closes = (readiness.readySince ?? now) + worker.maxWaitMs;
    if (closes > now) {
      findings.push({
        code: "WAITING_FOR_BATCH",
        text: `${count(readiness.ready)} ${readiness.ready === 1 ? "waits" : "wait"} for a batch of ${worker.batchSize}, or for the batch timeout at ${instant(closes)}.`,
        remedy: undefined,
      });
    }
  }
  return findings;
}

/** When nothing is ready though something is stored. */
function stateFindings({ backlog, readiness }: QueueFacts): Finding[] {
  if (readiness.ready > 0 || backlog.count === 0) return [];
  if (readiness.nextDueAt !== undefined && readiness.nextLeaseEndsAt === undefined) {
    return [
      {
        code: "ALL_DELAYED",
        text: `Nothing is ready: ${count(backlog.count)} delayed, the first until ${instant(readiness.nextDueAt)}.`,
        remedy: undefined,
      },
    ];
  }
  if (readiness.nextLeaseEndsAt === undefined) return [];
  const delayed =
    readiness.nextDueAt === undefined ? "" : `, others are delayed until ${instant(readiness.nextDueAt)} or later`;
  return [
    {
      code: "ALL_IN_FLIGHT",
      text: `Nothing is ready: consumers hold messages, the first lease ends at ${instant(readiness.nextLeaseEndsAt)}${delayed}.`,
      remedy: undefined,
    },
  ];
}

function count(messages: number): string {
  return messages === 1 ? "1 message" : `${messages} messages`;
}

function instant(at: number): string {
  return new Date(at).toISOString();
}
