// Markdown made of values: what generated pages are put together with.

/** A table; cells may hold Markdown of their own, but no line breaks. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(" | ")} |`;
  return [line(headings), `|${headings.map(() => "---|").join("")}`, ...rows.map(line)].join("\n");
}

/** Text in code font; the longest run of backticks inside decides how many stand around it. */
export function code(text: string): string {
  const longest = Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const quote = "`".repeat(longest + 1);
  const space = longest > 0 ? " " : "";
  return `${quote}${space}${text}${space}${quote}`;
}

/** A block of code. */
export function block(text: string, language = ""): string {
  return `\`\`\`${language}\n${text.trimEnd()}\n\`\`\``;
}

/** 25,000,000,000 */
export function grouped(value: number): string {
  return value.toLocaleString("en-US");
}

function cell(text: string): string {
  return text.replaceAll("|", String.raw`\|`).replaceAll(/\s*\n\s*/g, " ");
}
