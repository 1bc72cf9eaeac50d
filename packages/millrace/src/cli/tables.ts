// Tables and lists of facts for people.

/** Columns under their headings, as wide as their widest cell; two blanks between. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => pad(cell, widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** `Name   value`, one fact a line; facts without a value are left out. */
export function facts(entries: readonly (readonly [name: string, value: string | undefined])[]): string {
  const shown = entries.filter((entry): entry is readonly [string, string] => entry[1] !== undefined);
  const widest = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${pad(name, widest)}  ${value}`).join("\n");
}

const pad = (text: string, to: number): string => text.padEnd(to);

/** `1.2 kB`, with the thousands Cloudflare counts in. */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), units.length - 1);
  return `${Number((count / 1_000 ** step).toFixed(1))} ${units[step] ?? "B"}`;
}

/** `2026-11-23 12:03:01`, local time. */
export function when(ms: number): string {
  const at = new Date(ms);
  const two = (n: number): string => String(n).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
