// Takes a multipart/form-data body apart (RFC 7578). The platform's own parser wants boundaries of 27 characters and more,
// which the standard does not, and copies every part.

import { Buffer } from "node:buffer";
import { MillraceError } from "../../core/index.ts";

export interface FormPart {
  /** The form field's name. */
  readonly field: string;
  /** `undefined`: the part is no file. */
  readonly filename: string | undefined;
  /** Without parameters, lower case; empty where none is given. */
  readonly contentType: string;
  /** A piece of the body, not a copy. */
  readonly bytes: Uint8Array;
}

const lineEnd = "\r\n";
/** Headers of one part; browsers and tools write a few hundred bytes. */
const maxHeaderBytes = 16_384;

/** Throws `REQUEST_MALFORMED`. */
export function parseMultipart(body: Uint8Array, contentType: string | undefined): readonly FormPart[] {
  const boundary = boundaryOf(contentType);
  if (boundary === undefined) throw malformed("Expected a multipart/form-data body");
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const parts: FormPart[] = [];
  let at = afterDelimiter(bytes, firstDelimiter(bytes, boundary), boundary);
  while (at !== undefined) {
    const headersEnd = bytes.subarray(at, at + maxHeaderBytes).indexOf(lineEnd + lineEnd);
    // Without headers the empty line comes at once: then there is no name either.
    if (headersEnd === -1) throw malformed("A part of the form has no end of its headers");
    const contentStart = at + headersEnd + 4;
    const contentEnd = nextDelimiter(bytes, contentStart, boundary);
    const headers = headersOf(bytes.toString("utf8", at, at + headersEnd));
    parts.push({ ...headers, bytes: bytes.subarray(contentStart, contentEnd) });
    at = afterDelimiter(bytes, contentEnd + lineEnd.length, boundary);
  }
  return parts;
}

function malformed(detail: string): MillraceError {
  return new MillraceError("REQUEST_MALFORMED", detail);
}

function boundaryOf(contentType: string | undefined): string | undefined {
  const match = /^\s*multipart\/form-data\s*;(.*)$/is.exec(contentType ?? "");
  const boundary = match?.[1] === undefined ? undefined : parametersOf(match[1]).get("boundary");
  return boundary !== undefined && /^[\x20-\x7e]{1,70}$/.test(boundary) ? boundary : undefined;
}

function firstDelimiter(bytes: Buffer, boundary: string): number {
  const length = boundary.length + 2;
  if (bytes.toString("latin1", 0, length) === `--${boundary}` && endsDelimiter(bytes, length)) return 0;
  return nextDelimiter(bytes, 0, boundary) + lineEnd.length;
}

/** Where the line end begins that belongs to the next delimiter. */
function nextDelimiter(bytes: Buffer, from: number, boundary: string): number {
  const delimiter = `${lineEnd}--${boundary}`;
  for (let at = bytes.indexOf(delimiter, from); at !== -1; at = bytes.indexOf(delimiter, at + 1)) {
    if (endsDelimiter(bytes, at + delimiter.length)) return at;
  }
  throw malformed("The form ends without its last boundary");
}

const [cr, lf, dash, space, tab] = [0x0d, 0x0a, 0x2d, 0x20, 0x09];

/** Whether a boundary may end here: with two dashes, or with blanks and a line end. Otherwise it is the content's own. */
function endsDelimiter(bytes: Buffer, end: number): boolean {
  if (bytes[end] === dash && bytes[end + 1] === dash) return true;
  let at = end;
  while (at < end + 80 && (bytes[at] === space || bytes[at] === tab)) at += 1;
  return bytes[at] === cr && bytes[at + 1] === lf;
}

/** Where the part behind the delimiter at this place begins; `undefined` behind the last one. */
function afterDelimiter(bytes: Buffer, at: number, boundary: string): number | undefined {
  const end = at + 2 + boundary.length;
  if (bytes.toString("latin1", end, end + 2) === "--") return undefined;
  const line = bytes.indexOf(lineEnd, end);
  if (line === -1) throw malformed("The form ends behind a boundary");
  return line + lineEnd.length;
}

function headersOf(text: string): Omit<FormPart, "bytes"> {
  const headers = new Map(
    text.split(lineEnd).map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, Math.max(colon, 0)).trim().toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  const disposition = /^form-data\s*;(.*)$/is.exec(headers.get("content-disposition") ?? "");
  const parameters = parametersOf(disposition?.[1] ?? "");
  const name = parameters.get("name");
  if (name === undefined) throw malformed("A part of the form has no name");
  const filename = extended(parameters.get("filename*")) ?? parameters.get("filename");
  const [type = ""] = (headers.get("content-type") ?? "").split(";", 1);
  return {
    field: unescaped(name),
    filename: filename === undefined ? undefined : unescaped(filename),
    contentType: type.trim().toLowerCase(),
  };
}

/** `name=value; name="value"`, names in lower case. */
function parametersOf(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [, name = "", quoted, plain = ""] of text.matchAll(
    /([^\s;="]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"]*))/gs,
  )) {
    found.set(name.toLowerCase(), quoted === undefined ? plain.trim() : quoted.replaceAll(/\\(["\\])/g, "$1"));
  }
  return found;
}

/** What browsers and fetch write for characters that would end the name. */
function unescaped(text: string): string {
  return text.replaceAll(/%(22|0D|0A)/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

/** `UTF-8''caf%C3%A9` (RFC 5987). */
function extended(text: string | undefined): string | undefined {
  const encoded = /^utf-8'[^']*'(.*)$/is.exec(text ?? "")?.[1];
  try {
    return encoded === undefined ? undefined : decodeURIComponent(encoded);
  } catch {
    return undefined; // the plain file name stands beside it
  }
}
