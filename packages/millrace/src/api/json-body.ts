// Bytes of a request to a JSON value: strictly UTF-8, not too deep, whatever the content type says.

import { MillraceError } from "../core/index.ts";
import { limits } from "../contract/index.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Parses a request body. `undefined` when there are no bytes. Throws `REQUEST_MALFORMED`.
 *
 * Numbers that a double cannot hold (`12345678901234567890`) are kept as they were written, so that a message's body is
 * stored as it was sent: `JSON.stringify` writes them back unchanged.
 */
export function parseJsonBody(bytes: Uint8Array | undefined): unknown {
  if (bytes === undefined || bytes.byteLength === 0) return undefined;
  const text = decode(bytes);
  refuseDeepNesting(text);
  try {
    return (needsExactNumbers.test(text) ? exactJson.parse(text, keepExactNumbers) : JSON.parse(text)) as unknown;
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message.slice(0, 160) : "it could not be read";
    throw new MillraceError("REQUEST_MALFORMED", `The request body is not JSON: ${reason}`, { cause: error });
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new MillraceError("REQUEST_MALFORMED", "The request body is not UTF-8 text", { cause: error });
  }
}

/** Counts brackets outside strings before anything recursive walks the value. */
function refuseDeepNesting(text: string): void {
  if (text.length < limits.request.jsonDepth) return;
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (inString) {
      if (char === backslash) at += 1;
      else if (char === quote) inString = false;
    } else if (char === quote) {
      inString = true;
    } else if (char === openBracket || char === openBrace) {
      depth += 1;
      if (depth > limits.request.jsonDepth) {
        throw new MillraceError(
          "REQUEST_MALFORMED",
          `The request body nests more than ${limits.request.jsonDepth} levels deep`,
        );
      }
    } else if (char === closeBracket || char === closeBrace) {
      depth -= 1;
    }
  }
}

const quote = 0x22;
const backslash = 0x5c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** Sixteen digits in a row, or an exponent: only then can a number lose something. */
const needsExactNumbers = /\d{16}|\d[eE][+-]?\d/;

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
