// A verdict for people and for programs.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Machine } from "./machine.ts";
import { causes, rules } from "./verify/findings.ts";
import type { Cause, Fate, Problem } from "./verify/findings.ts";
import type { Verdict } from "./verify/verdict.ts";

export interface Evidence {
  /** Day of the run, UTC. */
  readonly date: string;
  readonly machine: Machine;
  readonly verdict: Verdict;
}

const notTested: readonly string[] = [
  "Real power loss. `kill -9` leaves the operating system's page cache alone: what was written and not synced survives it. That every answer waits for fsync is shown by the tests of the store, not by this run; that the disk keeps what it says it synced is the disk's promise.",
  "Crashes of the operating system, failing or full disks, and file systems other than the one named above, network file systems least of all.",
  "A push lease that runs out: it lasts longer than the 15 minutes a handler may take, and no pause here did.",
  "Clock changes during the run; the seeded simulator covers them.",
  "Several servers on one database, purges and redrives while processes are killed, and kills in the middle of a deploy or a change of settings: both come between the kills here.",
  "Loads near the limit of the machine: the producers leave pauses so that kills fall into every state, and a backlog both grows and drains.",
  "Processes of Workers that never became ready: the check for processes that outlive their server does not know them. That a server which is killed the moment it has spawned one leaves none behind is shown by a test of its own (orphans.test.ts).",
  "The order of messages, which the contract does not promise.",
];

const fates: Readonly<Record<Fate, string>> = {
  acked: "acknowledged, and the settlement seen",
  ackedUnseen: "acknowledged by the consumer as the server died; did not come again",
  deadLettered: "in the dead letter queue, once, after all their deliveries",
  backlog: "still in a backlog",
  lost: "**lost**",
};

const faults: Readonly<Record<string, string>> = {
  "kill-server": "`kill -9` of the server (the store thread lives in it)",
  "kill-starting-server": "`kill -9` of the server, and again while the next one starts",
  "kill-everything": "`kill -9` of the server and of everything it started, at once",
  "kill-paused-server": "SIGSTOP of the server, then `kill -9`",
  "kill-consumer": "`kill -9` of the workerd of the consuming Worker",
  "kill-producer": "`kill -9` of the workerd of the sending Worker",
  "pause-server": "SIGSTOP of the server, longer than every pull lease, then SIGCONT",
  "pause-consumer": "SIGSTOP of the workerd of the consuming Worker, for as long, then SIGCONT",
  "hang-consumer": "SIGSTOP of the workerd of the consuming Worker until the watchdog replaced it",
  "stop-server": "SIGTERM: drain and clean end",
  "deploy-consumer": "a new version of the consuming Worker, deployed by wrangler in full work",
  "change-settings": "pushed queues paused and resumed, size of their batches changed, in full work",
};

const doors: Readonly<Record<string, string>> = {
  rest: "REST, one message",
  "rest-bulk": "REST, up to 15 in bulk",
  binding: "Worker binding, `send`",
  "binding-batch": "Worker binding, `sendBatch` of up to 15",
};

/** The end of a run on a terminal. */
export function summary(verdict: Verdict): string {
  const { acceptedMessages, deliveries, fates: ended, duplicates, times, problems, unacknowledged } = verdict;
  const sends = Object.values(verdict.doors).reduce((sum, door) => sum + door.accepted, 0);
  const [alone = []] = times.aloneDeathToRedelivery;
  const lines = [
    `seed ${verdict.seed}, ${span(verdict.durationMs)}`,
    `sends       ${count(sends)} acknowledged, ${count(acceptedMessages)} messages; ${count(unacknowledged.sends)} unacknowledged, ${count(unacknowledged.stored)} of them stored`,
    `deliveries  ${count(deliveries.push)} by push, ${count(deliveries.pull)} by pull`,
    `kills       ${verdict.kills}${andTimedDeaths(times.aloneDeathToRedelivery)}`,
    ...Object.entries(verdict.faults).map(([what, times_]) => `            ${String(times_).padStart(4)} ${what}`),
    `lost        ${ended.lost}`,
    `ended       ${count(ended.acked + ended.ackedUnseen)} acknowledged, ${count(ended.deadLettered)} dead-lettered, ${count(ended.backlog)} in a backlog`,
    `duplicates  ${count(total(duplicates))}; ${count(verdict.retriesAskedFor)} more deliveries were asked for by the consumer`,
    ...seen(duplicates).map(([cause, times_]) => `            ${String(times_).padStart(4)} ${causes[cause]}`),
    `time from kill to ready                        ${spread(times.killToReady)}`,
    `time from consumer death to redelivery, alone  ${spread(alone)}`,
    `          in the loop, to the next delivery     ${spread(times.deathToDelivery)}`,
    `          in the loop, behind the backlog       ${spread(times.deathToRedelivery)}`,
    ...verdict.checks.map(({ what, isGood }) => `${isGood ? "ok  " : "BAD "} ${what}`),
    ...tally(problems).map(
      ([rule, of]) => `BAD  ${rules[rule]} (${of.length}): ${of[0]?.id ?? ""} ${of[0]?.text ?? ""}`,
    ),
    verdict.isGood ? "Nothing was lost, and nothing is unexplained." : `${problems.length} problems.`,
  ];
  return lines.join("\n");
}

/** Deaths of a consumer's workerd whose only purpose is to time what follows: they come after the kills that were asked for. */
function andTimedDeaths(times: Verdict["times"]["aloneDeathToRedelivery"]): string {
  const deaths = times.reduce((sum, { length }) => sum + length, 0);
  return deaths === 0 ? "" : `, and ${count(deaths)} timed deaths of a workerd`;
}

/** Writes `crash-loop.md` and `crash-loop.json`. */
export async function writeReport(folder: string, evidence: Evidence): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "crash-loop.json"), `${JSON.stringify({ ...evidence, notTested }, rounded, 2)}\n`);
  await writeFile(join(folder, "crash-loop.md"), page(evidence));
}

function page({ date, machine, verdict }: Evidence): string {
  const { fates: ended, duplicates, times, unacknowledged } = verdict;
  const alone = times.aloneDeathToRedelivery;
  return `# The crash loop

Written by \`npm run prove -- --seed ${verdict.seed} --kills ${verdict.kills}\`, ${date}. A seed repeats which faults come, in which order, and
what producers and consumers do; what meets what in time is up to the machine.

**${count(verdict.acceptedMessages)} acknowledged messages, ${verdict.kills} kills, ${ended.lost} lost, ${verdict.problems.length} problems.**

## What was run

The real server with real workerd on a data folder of its own. Six producers send all the time: over REST, over REST in bulk, and
through a Worker's queue binding with \`send\` and \`sendBatch\`; with json, text, bytes and v8 bodies from 0 to 100,000 bytes of padding that
only their own message can have, some with a delay. Two queues are pushed to a Worker, one strictly one batch at a time, one with automatic concurrency; its
handler reports each delivery to a recorder outside and then acknowledges, retries, throws or takes its time. One queue is pulled over HTTP
by two clients, one or several batches at a time, that acknowledge or retry, by themselves or with the next pull, come too late, or forget what they have. Some messages are never acknowledged and end as dead letters.

Every send's answer, every delivery and every settlement's answer is in a ledger outside, synced to disk, before anybody goes on. When the faults are
over, the backlog drains; the dead letter queue is read; the server is stopped and started once more. The verdict is reached from the ledger alone.

## Sends

${table(
  ["Door", "Sends", "Acknowledged", "Messages in them"],
  Object.entries(verdict.doors).map(([door, each]) => [
    doors[door] ?? door,
    count(each.sends),
    count(each.accepted),
    count(each.acceptedMessages),
  ]),
)}

${count(unacknowledged.sends)} sends were cut off or refused by a crash; ${count(unacknowledged.stored)} of them turned out to be stored, each as a whole.

## Faults

${table(
  ["Times", "What was done"],
  Object.entries(faults).map(([what, text]) => [count(verdict.faults[what] ?? 0), text]),
)}

## Where the messages are

${table(
  ["Messages", "Fate"],
  Object.entries(ended).map(([fate, messages]) => [count(messages), fates[fate as Fate]]),
)}

## Deliveries

${count(verdict.deliveries.push)} by push, ${count(verdict.deliveries.pull)} by pull. ${count(verdict.retriesAskedFor)} repeated a message because its consumer asked for it
or its handler threw. ${count(total(duplicates))} were duplicates, each with a cause that at-least-once delivery allows:

${table(
  ["Duplicates", "Cause"],
  Object.entries(duplicates).map(([cause, times_]) => [count(times_), causes[cause as Cause]]),
)}

## What was checked of every message

None of these may happen, and each is a failure of the run:

${table(
  ["Seen", "Rule broken"],
  Object.entries(rules).map(([rule, text]) => [
    count(verdict.problems.filter((problem) => problem.rule === rule).length),
    text,
  ]),
)}

${verdict.checks.map(({ what, isGood }) => `- ${isGood ? "yes" : "**no**"}: ${what}`).join("\n")}

## Times

${table(
  ["", "Measured", "Median", "Worst"],
  [
    timeRow("From the kill of a server to the next one's readiness", times.killToReady),
    timeRow(
      "From the death of a consumer's process to a handler that has its batch again, nothing else going on",
      alone[0] ?? [],
    ),
    ...alone.slice(1).map((each, index) => timeRow(`the same, its ${ordinal(index + 2)} death in a row`, each)),
    timeRow(
      "In the loop: from the death of a consumer's process to the next delivery to its successor",
      times.deathToDelivery,
    ),
    timeRow(
      "In the loop: to the first redelivery of what it had, behind the backlog there was, unless another fault came first",
      times.deathToRedelivery,
    ),
  ],
)}

With other work on the machine (see its load average), or under \`nice\`, times are longer. Nothing in the verdict depends on them.

## The machine

${table(
  ["", ""],
  [
    ["Cores", String(machine.cores)],
    ["Load average, all processes", String(machine.load)],
    ["Memory", `${machine.memoryGiB} GiB`],
    ["Kernel", `${machine.kernel}, ${machine.architecture}`],
    ["File system", machine.fileSystem],
    ["Node", machine.node],
    ["workerd", machine.workerd],
    ["Millrace", machine.millrace],
    ["The run took", span(verdict.durationMs)],
  ],
)}

## What was not tested

${notTested.map((each) => `- ${each}`).join("\n")}
`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function timeRow(what: string, times: readonly number[]): string[] {
  return [
    what,
    count(times.length),
    ...(times.length === 0 ? ["–", "–"] : [span(median(times)), span(Math.max(...times))]),
  ];
}

function spread(times: readonly number[]): string {
  if (times.length === 0) return "not measured";
  return `median ${span(median(times))}, worst ${span(Math.max(...times))}, ${times.length} measured`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2;
}

function span(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 120_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`;
}

function tally(problems: readonly Problem[]): [Problem["rule"], Problem[]][] {
  return [...Map.groupBy(problems, ({ rule }) => rule)];
}

const count = (value: number): string => value.toLocaleString("en-US");
const total = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0);
const seen = (counts: Readonly<Record<Cause, number>>): [Cause, number][] =>
  (Object.entries(counts) as [Cause, number][]).filter(([, times]) => times > 0);
const ordinal = (value: number): string => ["", "first", "second", "third"][value] ?? `${value}th`;
const rounded = (_key: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toFixed(1)) : value;
