// Bars with ranges as an SVG picture that is readable on light and dark pages.

import type { CaseResult, Figure } from "./result.ts";

const width = 760;
const nameWidth = 290;
const valueWidth = 150;
const barHeight = 18;
const rowHeight = 28;
const top = 34;

/** One bar for each figure, from zero; the line across it is the range of the rounds. */
export function barsOf({ name, unit, figures }: CaseResult): string {
  const most = Math.max(...figures.map((figure) => figure.most));
  const scale = (value: number): number => (value / most) * (width - nameWidth - valueWidth);
  const height = top + figures.length * rowHeight;
  const rows = figures.map((figure, place) => rowOf(figure, top + place * rowHeight, scale));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>${escaped(`${name}, ${unit}`)}</title>
<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.bar { fill: #8b949e }
.ours { fill: #1f6feb }
.range { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .range { stroke: #e6edf3 } }
</style>
<text class="title" x="0" y="16">${escaped(`${name}, ${unit}`)}</text>
${rows.join("\n")}
</svg>
`;
}

function rowOf({ name, median, least, most }: Figure, y: number, scale: (value: number) => number): string {
  const middle = y + barHeight / 2;
  const from = nameWidth + scale(least);
  const to = nameWidth + scale(most);
  const kind = name.startsWith("Millrace") ? "bar ours" : "bar";
  return [
    `<text x="${nameWidth - 10}" y="${middle + 4}" text-anchor="end">${escaped(name)}</text>`,
    `<rect class="${kind}" x="${nameWidth}" y="${y}" width="${fixed(scale(median))}" height="${barHeight}"/>`,
    `<line class="range" x1="${fixed(from)}" x2="${fixed(to)}" y1="${middle}" y2="${middle}"/>`,
    `<text x="${fixed(Math.max(to, nameWidth + scale(median)) + 8)}" y="${middle + 4}">${shown(median)}</text>`,
  ].join("");
}

const fixed = (value: number): string => value.toFixed(1);
const shown = (value: number): string => value.toLocaleString("en", { maximumSignificantDigits: 3 });

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
