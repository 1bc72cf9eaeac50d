// Bytes of a request to a JSON value: strictly UTF-8, not too deep, whatever the content type says.

import { Buffer, isAscii } from "node:buffer";
import { MillraceError } from "../core/index.ts";
import { limits, parseExactJson } from "../contract/index.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Parses a request body, or `what` else there is. `undefined` when there are no bytes. Throws `REQUEST_MALFORMED`.
 *
 * Numbers that a double cannot hold (`12345678901234567890`) are kept as they were written, so that a message's body is
 * stored as it was sent: `JSON.stringify` writes them back unchanged.
 */
export function parseJsonBody(bytes: Uint8Array | undefined, what = "The request body"): unknown {
  if (bytes === undefined || bytes.byteLength === 0) return undefined;
  const text = decode(bytes, what);
  const needsExactNumbers = survey(bytes, what);
  try {
    return needsExactNumbers ? parseExactJson(text) : (JSON.parse(text) as unknown);
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message.slice(0, 160) : "it could not be read";
    throw new MillraceError("REQUEST_MALFORMED", `${what} is not JSON: ${reason}`, { cause: error });
  }
}

function decode(bytes: Uint8Array, what: string): string {
  if (isAscii(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new MillraceError("REQUEST_MALFORMED", `${what} is not UTF-8 text`, { cause: error });
  }
}

/**
 * Looks once over the bytes outside strings, before anything recursive walks the value: refuses what nests too deep, and answers
 * whether a number could lose something, which takes sixteen digits in a row or an exponent. In valid UTF-8 no byte of a longer
 * character looks like one of these.
 */
function survey(bytes: Uint8Array, what: string): boolean {
  const { length } = bytes;
  let depth = 0;
  let digits = 0;
  let needsExactNumbers = false;
  for (let at = 0; at < length; at += 1) {
    const byte = bytes[at] as number;
    if (byte >= zero && byte <= nine) {
      digits += 1;
      if (digits === 16) needsExactNumbers = true;
      continue;
    }
    if (digits > 0 && (byte | 0x20) === letterE) needsExactNumbers = true;
    digits = 0;
    if (byte === quote) {
      at += 1;
      for (let inside = bytes[at]; at < length && inside !== quote; inside = bytes[at])
        at += inside === backslash ? 2 : 1;
    } else if ((byte | 0x20) === openBrace) {
      depth += 1;
      if (depth > limits.request.jsonDepth) {
        throw new MillraceError("REQUEST_MALFORMED", `${what} nests more than ${limits.request.jsonDepth} levels deep`);
      }
    } else if ((byte | 0x20) === closeBrace) {
      depth -= 1;
    }
  }
  return needsExactNumbers;
}

const quote = 0x22;
const backslash = 0x5c;
const zero = 0x30;
const nine = 0x39;
const letterE = 0x65;
/** With the bit 0x20 brackets are braces. */
const openBrace = 0x7b;
const closeBrace = 0x7d;
