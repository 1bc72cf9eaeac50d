// JSON whose numbers stay as they were written, though a double cannot hold them (`12345678901234567890`).

/** As `JSON.parse`. `JSON.stringify` writes such numbers back unchanged. */
export function parseExactJson(text: string): unknown {
  return exactJson.parse(text, keepExactNumbers);
}

/** What the language has (ES2026) and its types here do not know yet. */
const exactJson = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
};

function keepExactNumbers(_key: string, value: unknown, context: { readonly source?: string }): unknown {
  if (typeof value !== "number" || context.source === undefined || String(value) === context.source) return value;
  // Where fields are checked such a number must still look like one.
  return Number.isSafeInteger(value) || !losesDigits(value, context.source) ? value : exactJson.rawJSON(context.source);
}

function losesDigits(value: number, source: string): boolean {
  return !Number.isFinite(value) || source.replaceAll(/[^0-9]/g, "").length > 15 || String(value).includes("e");
}
