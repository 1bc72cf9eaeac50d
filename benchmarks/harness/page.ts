// The part of docs/performance.md that is made from the results: tables, ratios, targets and plots.

import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Bound } from "./benchmark.ts";
import { barsOf } from "./plot.ts";
import type { BenchmarkResult, CaseResult, Figure, RatioResult } from "./result.ts";

const page = fileURLToPath(new URL("../../docs/performance.md", import.meta.url));
const begin = "<!-- Results: made by `npm run bench`. Run it again instead of changing them here. -->";
const end = "<!-- End of the results. -->";

/** As the issue of speed lists them. */
const order = [
  "worker-send",
  "rest-push",
  "delivery",
  "pull",
  "latency",
  "steady-state",
  "start-with-backlog",
  "idle",
  "engine-alone",
  "peers",
];

/** Makes the plots and the page's part from every result in the folder. */
export async function updatePage(evidence: string): Promise<void> {
  const text = await readFile(page, "utf8");
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${page} has no place for the results`);
  const files = (await readdir(evidence)).filter((name) => name.endsWith(".json"));
  const results = await Promise.all(
    files.map(async (name) => ({
      name: basename(name, ".json"),
      result: JSON.parse(await readFile(join(evidence, name), "utf8")) as BenchmarkResult,
    })),
  );
  const place = (name: string): number => {
    const found = order.findIndex((known) => name === known || name.startsWith(`${known}-`));
    return found < 0 ? order.length : found;
  };
  results.sort((a, b) => place(a.name) - place(b.name) || a.name.localeCompare(b.name));
  const sections: string[] = [];
  for (const { name, result } of results) sections.push(await sectionOf(evidence, name, result));
  await writeFile(page, `${text.slice(0, from)}${begin}\n\n${sections.join("\n\n")}\n\n${text.slice(to)}`);
}

async function sectionOf(evidence: string, file: string, result: BenchmarkResult): Promise<string> {
  const { title, machine, options, cases, measuredOn } = result;
  const { rounds, seconds, connections, bytes, backlog, queues } = options;
  const how = [
    `${rounds} rounds of ${seconds} s`,
    `${connections} connections`,
    `${bytes.toLocaleString("en")} bytes a message`,
    ...(backlog > 0 ? [`a backlog of ${backlog.toLocaleString("en")}`] : []),
    ...(queues > 1 ? [`${queues.toLocaleString("en")} queues`] : []),
  ];
  const where = `${machine.cores} cores (${machine.processor}), ${machine.memoryGib} GiB, kernel ${machine.kernel}, Node ${machine.node}, ${machine.disk}, load ${machine.load}`;
  const parts = [
    `## ${title}`,
    `[Measured](evidence/performance/${file}.json) on ${measuredOn}: ${how.join(", ")}; ${where}.`,
  ];
  for (const [place, each] of cases.entries()) {
    const picture = `${file}-${place + 1}.svg`;
    await writeFile(join(evidence, picture), barsOf(each));
    parts.push(caseText(each, picture));
  }
  return parts.join("\n\n");
}

function caseText(result: CaseResult, picture: string): string {
  const { name, what, unit, figures, ratios, bounds, notes } = result;
  const hasTimes = figures.some(({ latencyMs }) => latencyMs !== undefined);
  const heads = [
    "",
    `${unit} (range)`,
    ...(hasTimes ? ["p50 ms", "p99 ms", "longest ms"] : []),
    "delivered",
    "processor µs",
  ];
  const rows = figures.map((figure) => [
    figure.name,
    spread(figure),
    ...(hasTimes ? timesOf(figure) : []),
    figure.delivered === undefined ? "" : `${figure.delivered.toLocaleString("en")}, each once`,
    Object.entries(figure.cpuUs ?? {})
      .map(([process, us]) => `${process} ${short(us)}`)
      .join(", "),
  ]);
  const facts = figures.flatMap((figure) =>
    Object.entries(figure.facts ?? {}).map(([fact, value]) => `- ${figure.name}: ${fact}: ${short(value)}`),
  );
  return [
    `### ${title(name)}`,
    what,
    `![${title(name)}](evidence/performance/${picture})`,
    table(heads, rows),
    ...(ratios.length > 0 ? [table(["ratio", "median (range)", "wanted"], ratios.map(ratioRow))] : []),
    ...(bounds.length > 0
      ? [
          table(
            ["bound", "measured", "wanted"],
            bounds.map((bound) => boundRow(bound, figures, unit)),
          ),
        ]
      : []),
    ...(facts.length > 0 ? [facts.join("\n")] : []),
    ...notes,
  ].join("\n\n");
}

function timesOf({ latencyMs }: Figure): string[] {
  if (latencyMs === undefined) return ["", "", ""];
  return [short(latencyMs.p50), short(latencyMs.p99), short(latencyMs.longest)];
}

function ratioRow({ of, to, median, least, most, target }: RatioResult): string[] {
  const wanted = target === undefined ? "" : `at least ${target}${median < target ? ": missed" : ""}`;
  return [`${of} : ${to}`, `${short(median)} (${short(least)}–${short(most)})`, wanted];
}

function boundRow(bound: Bound, figures: readonly Figure[], unit: string): string[] {
  const { of, what, atLeast, atMost } = bound;
  const figure = figures.find(({ name }) => name === of);
  const measured = figure === undefined ? undefined : measuredOf(figure, what);
  const name = what === "value" ? unit : typeof what === "object" ? what.fact : `${what}, ms`;
  const missed =
    measured === undefined ||
    (atLeast !== undefined && measured < atLeast) ||
    (atMost !== undefined && measured > atMost);
  const wanted = atLeast === undefined ? `at most ${short(atMost ?? Number.NaN)}` : `at least ${short(atLeast)}`;
  return [`${of}: ${name}`, measured === undefined ? "" : short(measured), `${wanted}${missed ? ": missed" : ""}`];
}

function measuredOf({ median, latencyMs, facts }: Figure, what: Bound["what"]): number | undefined {
  if (what === "value") return median;
  return typeof what === "object" ? facts?.[what.fact] : latencyMs?.[what];
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(heads), `|${"---|".repeat(heads.length)}`, ...rows.map(line)].join("\n");
}

const spread = ({ median, least, most }: Figure): string => `${short(median)} (${short(least)}–${short(most)})`;
const short = (value: number): string => value.toLocaleString("en", { maximumSignificantDigits: 3 });
const title = (text: string): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
