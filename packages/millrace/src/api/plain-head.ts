// The head of a request in the one form in which nearly every client writes it: `POST`, a path, HTTP/1.1, lines `Name: value` in
// printable ASCII, each name once, a body with a length; or the same with `GET` and without a word of a body. Whatever else HTTP allows or forbids is none: node:http's parser, which is
// strict, decides about that. So nothing is taken here that it would read in another way, and it sees all that is doubtful.
// Source of the form: RFC 9112 sections 3, 5 and 6.

import type { IncomingHttpHeaders } from "node:http";

export interface PlainHead {
  readonly method: "GET" | "POST";
  readonly url: string;
  /** By lower-case name. */
  readonly headers: IncomingHttpHeaders;
  /** Bytes of the body. */
  readonly length: number;
}

const requestLine = /^(POST|GET) (\/[!-~]+) HTTP\/1\.1$/;
/** No blanks before the colon, none at the beginning of a line. */
const headerLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([ -~\t]*)$/;
const decimal = /^(?:0|[1-9]\d{0,8})$/;

/** Headers that change what follows on the connection, or what is a request. `proxy-connection` is one to node's parser. */
const changing: ReadonlySet<string> = new Set([
  "expect",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** `text`: what stands before the empty line, a character for each byte. */
export function parsePlainHead(text: string): PlainHead | undefined {
  const [first = "", ...lines] = text.split("\r\n");
  const [, method, url] = requestLine.exec(first) ?? [];
  if (url === undefined) return undefined;
  const headers = Object.create(null) as Record<string, string>;
  for (const line of lines) {
    const [, given, value] = headerLine.exec(line) ?? [];
    if (given === undefined || value === undefined) return undefined;
    const name = given.toLowerCase();
    if (name in headers || changing.has(name)) return undefined;
    headers[name] = value.trim();
  }
  const { connection = "keep-alive", "content-length": length } = headers;
  if (connection.toLowerCase() !== "keep-alive") return undefined;
  if (method === "GET") return length === undefined ? { method, url, headers, length: 0 } : undefined;
  return length !== undefined && decimal.test(length)
    ? { method: "POST", url, headers, length: Number(length) }
    : undefined;
}

const wholeAndPartLines = /^(?:[ -~\t]|\r\n)*\r?$/;

/** Whether bytes that are only the beginning of a head may still become a plain one; `start`: how one begins. */
export function mayBecomePlain(text: string, start: string): boolean {
  const begins = text.length < start.length ? start.startsWith(text) : text.startsWith(start);
  return begins && wholeAndPartLines.test(text);
}
