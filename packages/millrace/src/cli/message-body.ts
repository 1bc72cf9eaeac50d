// A message's body as the REST API carries it, turned back into what was sent.

import { parseExactJson } from "../contract/index.ts";

/** Text as it is; JSON parsed, numbers with all their digits; anything else stays in base64. */
export function decodeBody(message: {
  readonly body: string;
  readonly metadata: Readonly<Record<string, string>>;
}): unknown {
  if (message.metadata["CF-Content-Type"] !== "json") return message.body;
  try {
    return parseExactJson(Buffer.from(message.body, "base64").toString("utf8"));
  } catch {
    return message.body; // not ours to judge: shown as it came
  }
}

/** JSON up to this length stands on one line. */
const shortLine = 100;

/** For people: text bare, everything else as JSON. Control characters are shown, not obeyed. */
export function showBody(body: unknown): string {
  const line = typeof body === "string" ? body : (JSON.stringify(body) ?? "");
  const text = typeof body === "string" || line.length <= shortLine ? line : JSON.stringify(body, undefined, 2);
  return text.replaceAll(
    /[^\P{Cc}\n\t]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
