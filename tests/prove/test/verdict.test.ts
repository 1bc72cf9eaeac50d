// The verdict bites: histories that must not be, each named by the rule it breaks, and the duplicates that are allowed.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Fact, RecordedFact } from "../facts.ts";
import type { Cause, Rule } from "../verify/findings.ts";
import { judge } from "../verify/verdict.ts";
import type { Verdict } from "../verify/verdict.ts";

const pushQueue = "pushed";
const pullQueue = "pulled";
const deadLetters = "dead-letters";

/** Facts a millisecond apart, or at a time of their own. */
function judged(...facts: readonly (Fact & { readonly at?: number })[]): Verdict {
  const all: readonly (Fact & { readonly at?: number })[] = [
    { kind: "queue", queue: pushQueue, consumer: "push", deliveries: 3 },
    { kind: "queue", queue: pullQueue, consumer: "pull", deliveries: 3 },
    { kind: "queue", queue: deadLetters, consumer: "none", deliveries: 0 },
    { kind: "spawned", life: 1 },
    ...facts,
    { kind: "calm" },
    ...(facts.some(({ kind }) => kind === "drained") ? [] : [{ kind: "drained", backlog: 0 } as const]),
  ];
  let at = 10_000;
  return judge(
    all.map((fact): RecordedFact => {
      at = fact.at ?? at + 1;
      return { ...fact, at };
    }),
  );
}

const rulesOf = ({ problems }: Verdict): Rule[] => [...new Set(problems.map(({ rule }) => rule))];

function causesOf({ duplicates }: Verdict): Partial<Record<Cause, number>> {
  return Object.fromEntries(Object.entries(duplicates).filter(([, count]) => count > 0));
}

const message = (id: string, attempts = 1) => ({ id, messageId: `m-${id}`, attempts, isIntact: true });

function sent(ids: readonly string[], queue = pushQueue, delaySeconds = 0): Fact[] {
  const offered = { kind: "offered", send: 1, door: "rest-bulk", queue, ids, delaySeconds } as const;
  return [offered, { kind: "accepted", send: 1 }];
}

let deliveries = 0;

/** A delivery of `a` as server and handler tell of it. */
function pushed(options: {
  readonly attempts?: number;
  readonly life?: number;
  readonly verdict?: "ack" | "retry";
  readonly outcome?: string;
  readonly messageId?: string;
  readonly queue?: string;
}): Fact[] {
  const { attempts = 1, life = 1, verdict, outcome, messageId = "m-a", queue = pushQueue } = options;
  deliveries += 1;
  const delivery = deliveries;
  const batch = `b${delivery}`;
  const opened = { life, queue, batch, firstMessageId: messageId, attemptsMin: attempts, attemptsMax: attempts };
  const instructed: Fact[] = verdict === undefined ? [] : [{ kind: "instructed", delivery, verdicts: [verdict] }];
  const closed: Fact[] = outcome === undefined ? [] : [{ kind: "batch-closed", life, queue, batch, outcome }];
  return [
    { kind: "batch-opened", ...opened },
    { kind: "pushed", delivery, life, queue, messages: [{ ...message("a", attempts), messageId }] },
    ...instructed,
    ...closed,
  ];
}

const acked = (attempts = 1, life = 1): Fact[] => pushed({ attempts, life, verdict: "ack", outcome: "ok" });

const serverKilled: Fact[] = [
  { kind: "signal", life: 1, target: "server", signal: "SIGKILL" },
  { kind: "ended", life: 1, how: "SIGKILL" },
  { kind: "spawned", life: 2 },
  { kind: "ready", life: 2 },
];
const workerKilled: Fact = { kind: "signal", life: 1, target: "prove-consumer", signal: "SIGKILL" };

/** A pull of `a`, with a lease of a second. */
function pulled(
  pull: number,
  attempts: number,
  at: number,
  plan: "settle" | "abandon" = "settle",
): (Fact & { at: number })[] {
  return [
    { at, kind: "pulling", pull, queue: pullQueue, visibilityMs: 1_000 },
    { at: at + 5, kind: "pulled", pull, plan, messages: [{ ...message("a", attempts), lease: `l${pull}` }] },
  ];
}

/** The ack of a pull; `warning` as the server words it, `undefined` text for no answer. */
function settled(pull: number, at: number, warning?: string | null): (Fact & { at: number })[] {
  const settling = {
    at,
    kind: "settling",
    settlement: pull,
    queue: pullQueue,
    acks: [`l${pull}`],
    retries: [],
  } as const;
  if (warning === null) return [settling, { at: at + 5, kind: "settle-unanswered", settlement: pull }];
  const warnings = warning === undefined ? {} : { [`l${pull}`]: warning };
  return [settling, { at: at + 5, kind: "settled", settlement: pull, warnings }];
}

const late = "the lease had ended; the message was acknowledged all the same";
const stale = "unknown lease: settled before, ended, or purged";
const dead = (attempts: number, times = 1): Fact => ({
  kind: "left",
  queue: deadLetters,
  messages: Array.from({ length: times }, () => message("a", attempts)),
});
const exhausted: Fact[] = [1, 2, 3].flatMap((attempts) => pushed({ attempts, verdict: "retry", outcome: "ok" }));

test("a message that is sent, delivered and acknowledged is in order", () => {
  const verdict = judged(...sent(["a"]), ...acked());
  assert.deepEqual(verdict.problems, []);
  assert.equal(verdict.isGood, true);
  assert.equal(verdict.fates.acked, 1);
});

test("a message that was retried to its end is in the dead letter queue", () => {
  const verdict = judged(...sent(["a"]), ...exhausted, dead(0));
  assert.deepEqual(verdict.problems, []);
  assert.equal(verdict.fates.deadLettered, 1);
  assert.equal(verdict.retriesAskedFor, 2);
});

const explained: Readonly<
  Record<string, readonly [facts: readonly (Fact & { at?: number })[], causes: Partial<Record<Cause, number>>]>
> = {
  "the server is killed with the batch in flight: the same attempt again": [
    [...sent(["a"]), ...pushed({ verdict: "ack" }), ...serverKilled, ...acked(1, 2)],
    { serverKilled: 1 },
  ],
  "the server is killed after the handler asked for a retry: settled or not": [
    [...sent(["a"]), ...pushed({ verdict: "retry" }), ...serverKilled, ...acked(2, 2)],
    {},
  ],
  "a handler's last words are read when the next server was spawned": [
    [
      ...sent(["a"]),
      ...pushed({ verdict: "ack" }).slice(0, 1),
      ...serverKilled,
      ...pushed({ life: 2 }).slice(1),
      { kind: "checked", what: "a second later", isGood: true, text: "", at: 20_000 },
      ...acked(1, 2),
    ],
    { serverKilled: 1 },
  ],
  "the Worker is killed with the batch in flight: the next attempt": [
    [...sent(["a"]), ...pushed({ outcome: "daemonDown" }), workerKilled, ...acked(2)],
    { workerKilled: 1 },
  ],
  "the Worker is killed before its handler could tell: an attempt nobody saw": [
    [...sent(["a"]), workerKilled, ...acked(2)],
    {},
  ],
  "a stopping server gives the batch back": [
    [...sent(["a"]), ...pushed({ outcome: "returned" }), { kind: "ended", life: 1, how: "code 0" }, ...acked(1, 2)],
    { serverStopped: 1 },
  ],
  "a pull consumer dies: its lease costs an attempt": [
    [...sent(["a"], pullQueue), ...pulled(1, 1, 20_000, "abandon"), ...pulled(2, 2, 21_100), ...settled(2, 21_200)],
    { consumerDied: 1 },
  ],
  "an ack is not answered, and had not arrived": [
    [
      ...sent(["a"], pullQueue),
      ...pulled(1, 1, 20_000),
      ...settled(1, 20_100, null),
      ...pulled(2, 2, 21_100),
      ...settled(2, 21_200),
    ],
    { ackLost: 1 },
  ],
  "the answer to a pull is lost: an attempt nobody saw": [
    [
      ...sent(["a"], pullQueue),
      { kind: "pulling", pull: 9, queue: pullQueue, visibilityMs: 1_000 },
      { kind: "pull-unanswered", pull: 9 },
      ...pulled(1, 2, 20_000),
      ...settled(1, 20_100),
    ],
    {},
  ],
  "a lease runs out while the server is paused": [
    [
      ...sent(["a"], pullQueue),
      ...pulled(1, 1, 20_000),
      { kind: "signal", life: 1, target: "server", signal: "SIGSTOP", at: 20_050 },
      { kind: "signal", life: 1, target: "server", signal: "SIGCONT", at: 22_000 },
      ...settled(1, 22_010, stale),
      ...pulled(2, 2, 22_020),
      ...settled(2, 22_100),
    ],
    { pausedLease: 1 },
  ],
  "a late ack is honoured while somebody else has the message": [
    [...sent(["a"], pullQueue), ...pulled(1, 1, 20_000), ...pulled(2, 2, 21_100), ...settled(1, 21_200, late)],
    { busyLease: 1 },
  ],
};

for (const [what, [facts, causes]] of Object.entries(explained)) {
  test(`allowed: ${what}`, () => {
    const verdict = judged(...facts);
    assert.deepEqual(verdict.problems, []);
    assert.deepEqual(causesOf(verdict), causes);
  });
}

const broken: Readonly<Record<string, readonly [rule: Rule, facts: readonly (Fact & { at?: number })[]]>> = {
  "an accepted message never comes": ["lost", sent(["a"])],
  "a message is to be retried and never comes again": [
    "lost",
    [...sent(["a"]), ...pushed({ verdict: "retry", outcome: "ok" })],
  ],
  "a Worker died with a message, and it never comes again": [
    "lost",
    [...sent(["a"]), ...pushed({ verdict: "ack", outcome: "daemonDown" }), workerKilled],
  ],
  "a pull consumer forgot a message, and it never comes again": [
    "lost",
    [...sent(["a"], pullQueue), ...pulled(1, 1, 20_000, "abandon")],
  ],
  "an acknowledged batch is delivered again": ["redeliveredAfterAck", [...sent(["a"]), ...acked(), ...acked()]],
  "an acknowledged batch is delivered again by the next server": [
    "redeliveredAfterAck",
    [...sent(["a"]), ...acked(), ...serverKilled, ...acked(1, 2)],
  ],
  "a pulled message is delivered again after its ack": [
    "redeliveredAfterAck",
    [...sent(["a"], pullQueue), ...pulled(1, 1, 20_000), ...settled(1, 20_100), ...pulled(2, 2, 30_000)],
  ],
  "a pulled message is delivered again after its late ack": [
    "redeliveredAfterAck",
    [...sent(["a"], pullQueue), ...pulled(1, 1, 20_000), ...settled(1, 21_100, late), ...pulled(2, 2, 30_000)],
  ],
  "a batch comes again while its server lives": [
    "unexplained",
    [...sent(["a"]), ...pushed({ verdict: "ack" }), ...acked()],
  ],
  "a Worker dies that nobody killed": [
    "unexplained",
    [...sent(["a"]), ...pushed({ outcome: "daemonDown" }), ...acked(2)],
  ],
  "a server kill costs an attempt": [
    "attemptsCost",
    [...sent(["a"]), ...pushed({ verdict: "ack" }), ...serverKilled, ...acked(2, 2)],
  ],
  "the death of a Worker costs nothing": [
    "attemptsCost",
    [...sent(["a"]), ...pushed({ outcome: "daemonDown" }), workerKilled, ...acked(1)],
  ],
  "the server denies a delivery that a handler got": [
    "attemptsCost",
    [...sent(["a"]), ...pushed({ outcome: "notDelivered" }), workerKilled, ...acked(1)],
  ],
  "the first delivery is the second attempt": ["attemptsCost", [...sent(["a"]), ...acked(2)]],
  "an expired lease costs nothing": [
    "attemptsCost",
    [...sent(["a"], pullQueue), ...pulled(1, 1, 20_000, "abandon"), ...pulled(2, 1, 21_100), ...settled(2, 21_200)],
  ],
  "two clients have a message at once": [
    "leasedTwice",
    [...sent(["a"], pullQueue), ...pulled(1, 1, 20_000), ...pulled(2, 2, 20_500), ...settled(2, 20_600)],
  ],
  "more deliveries than the consumer allows": [
    "tooManyAttempts",
    [...sent(["a"]), ...exhausted, ...pushed({ attempts: 4, verdict: "ack", outcome: "ok" })],
  ],
  "two dead letters of one message": ["deadLetteredTwice", [...sent(["a"]), ...exhausted, dead(0, 2)]],
  "a dead letter after two of three deliveries": [
    "deadLetteredTooSoon",
    [...sent(["a"]), ...exhausted.slice(0, -4), dead(0)],
  ],
  "a dead letter after two of three deliveries, by the server's own word, though a third may have gone unseen": [
    "deadLetteredTooSoon",
    [
      ...sent(["a"]),
      ...exhausted.slice(0, -4),
      { kind: "dead-lettered", life: 1, messageId: "m-a", attempts: 2 },
      workerKilled,
      dead(0),
    ],
  ],
  "a dead letter that was acknowledged": [
    "deadLetteredAfterAck",
    [...sent(["a"]), ...exhausted.slice(0, -4), ...acked(3), dead(0)],
  ],
  "one send under two ids": [
    "storedTwice",
    [...sent(["a"]), ...acked(), { kind: "left", queue: pushQueue, messages: [{ ...message("a"), messageId: "m-b" }] }],
  ],
  "a send without an answer that is stored in part": [
    "torn",
    [
      { kind: "offered", send: 1, door: "rest-bulk", queue: pushQueue, ids: ["a", "b"], delaySeconds: 0 },
      { kind: "unanswered", send: 1 },
      ...acked(),
    ],
  ],
  "a body that is not what was sent": [
    "damaged",
    [...sent(["a"]), { kind: "left", queue: pushQueue, messages: [{ ...message("a"), isIntact: false }] }],
  ],
  "a message nobody sent": ["neverSent", acked()],
  "a message from another queue": [
    "wrongQueue",
    [...sent(["a"]), ...pushed({ queue: "elsewhere", verdict: "ack", outcome: "ok" })],
  ],
  "a delivery before its delay is over": ["tooEarly", [...sent(["a"], pushQueue, 1), ...acked()]],
  "a backlog that does not drain": ["notDrained", [...sent(["a"]), ...acked(), { kind: "drained", backlog: 1 }]],
  "a server that goes on delivering when asked to stop": [
    "busyWhileStopping",
    [...sent(["a"]), { kind: "draining", life: 1, at: 11_000 }, { kind: "ready", life: 1, at: 15_000 }, ...acked()],
  ],
  "a Worker's process that outlives its server": [
    "orphans",
    [...sent(["a"]), ...acked(), { kind: "orphans", pids: [1] }],
  ],
  "a failed check": ["failedCheck", [{ kind: "checked", what: "doctor", isGood: false, text: "it is ill" }]],
};

for (const [what, [rule, facts]] of Object.entries(broken)) {
  test(`not allowed: ${what}`, () => {
    const verdict = judged(...facts);
    assert.deepEqual(rulesOf(verdict), [rule]);
    assert.equal(verdict.isGood, false);
  });
}
