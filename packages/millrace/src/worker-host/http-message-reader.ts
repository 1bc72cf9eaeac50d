// Reads HTTP/1.1 messages from the bytes of one connection between this server and a runtime of its own: requests or answers, each
// with its whole body. Strict, because both ends are known: what is not plain HTTP/1.1 is an error, never a guess.
//
// States: `head` (between messages, or a head is not whole yet); then for a body with a length `sized`, and for one in chunks
// `size` → `data` → `dataEnd` → `size` …, and after the chunk of size 0 `end`. A whole message leads back to `head`.

export interface HttpHead {
  /** The request line or the status line. */
  readonly start: string;
  /** By lower-case name; of a name that came several times the values are joined by `, `. */
  readonly headers: ReadonlyMap<string, string>;
}

export interface HttpMessage {
  readonly head: HttpHead;
  /** A view into what `push` was given, or bytes of its own. `undefined`: larger than allowed, and forgotten. */
  readonly body: Buffer | undefined;
  /** Bytes of the body, kept or not. */
  readonly length: number;
}

/** The other end does not speak HTTP/1.1 as it should: the connection is of no use any more. */
export class HttpSyntaxError extends Error {
  override readonly name = "HttpSyntaxError";
}

const mostHeadBytes = 16_384;
const mostSizeDigits = 8;
const headEnd = Buffer.from("\r\n\r\n");
const lineEnd = Buffer.from("\r\n");
const none = Buffer.alloc(0);

/** A line of visible text, then lines `name: value`. Source: RFC 9112 sections 2 to 5, without the forms it calls obsolete. */
const headShape = /^[\x20-\x7e]+(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*)*$/;
const decimal = /^\d{1,15}$/;
const hexadecimal = /^[0-9A-Fa-f]{1,8}$/;

export class HttpMessageReader {
  readonly #mostBodyBytes: (head: HttpHead) => number;
  #state: "head" | "sized" | "size" | "data" | "dataEnd" | "end" = "head";
  /** Pushed and not read yet. */
  #rest: Buffer = none;
  #head: HttpHead = { start: "", headers: new Map() };
  /** What `#head` was read from: of one connection most heads are alike. */
  #headText: string | undefined;
  /** Bytes that are missing of the body, or of a chunk's data. */
  #missing = 0;
  #most = 0;
  #length = 0;
  #parts: Buffer[] = [];

  /** A body of more bytes is read to its end and forgotten, so that its sender sees an answer. */
  constructor(mostBodyBytes: (head: HttpHead) => number) {
    this.#mostBodyBytes = mostBodyBytes;
  }

  /** Bytes as they came; the caller does not change them afterwards. */
  push(bytes: Buffer): void {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
  }

  /** The next message once all of it is there. Throws `HttpSyntaxError`. */
  next(): HttpMessage | undefined {
    if (this.#state === "head" && !this.#readHead()) return undefined;
    if (this.#state === "sized" ? !this.#readData() : !this.#readChunks()) return undefined;
    const length = this.#length;
    const message = { head: this.#head, body: length > this.#most ? undefined : this.#body(), length };
    this.#state = "head";
    this.#length = 0;
    this.#parts = [];
    return message;
  }

  /** Whether the connection is between two messages. */
  get isIdle(): boolean {
    return this.#state === "head" && this.#rest.length === 0;
  }

  #body(): Buffer {
    return this.#parts.length > 1 ? Buffer.concat(this.#parts, this.#length) : (this.#parts[0] ?? none);
  }

  #readHead(): boolean {
    const end = this.#rest.indexOf(headEnd);
    if (Math.max(end, end < 0 ? this.#rest.length : 0) > mostHeadBytes)
      throw new HttpSyntaxError("The head is too long");
    if (end < 0) return false;
    const text = this.#rest.toString("latin1", 0, end);
    if (text !== this.#headText) this.#head = parseHead(text);
    this.#headText = text;
    this.#skip(end + headEnd.length);
    this.#most = this.#mostBodyBytes(this.#head);
    const length = bodyLength(this.#head);
    this.#state = length === "chunked" ? "size" : "sized";
    this.#missing = length === "chunked" ? 0 : length;
    return true;
  }

  #readChunks(): boolean {
    for (;;) {
      switch (this.#state) {
        case "size": {
          const line = this.#readLine(mostSizeDigits);
          if (line === undefined) return false;
          if (!hexadecimal.test(line)) throw new HttpSyntaxError("The size of a chunk is not a number");
          this.#missing = Number.parseInt(line, 16);
          this.#state = this.#missing === 0 ? "end" : "data";
          break;
        }
        case "data":
          if (!this.#readData()) return false;
          this.#state = "dataEnd";
          break;
        case "dataEnd":
          if (this.#readLine(0) === undefined) return false;
          this.#state = "size";
          break;
        default:
          // Trailers are never sent: an empty line ends the message.
          return this.#readLine(0) !== undefined;
      }
    }
  }

  #readLine(most: number): string | undefined {
    const end = this.#rest.indexOf(lineEnd);
    // Of a line that is not whole, the first half of its end may be here.
    if (end > most || (end < 0 && this.#rest.length > most + 1)) throw new HttpSyntaxError("A chunk has no proper end");
    if (end < 0) return undefined;
    const line = this.#rest.toString("latin1", 0, end);
    this.#skip(end + lineEnd.length);
    return line;
  }

  #readData(): boolean {
    const taken = Math.min(this.#missing, this.#rest.length);
    if (taken > 0) {
      this.#length += taken;
      if (this.#length > this.#most) this.#parts = [];
      else this.#parts.push(this.#rest.subarray(0, taken));
      this.#skip(taken);
      this.#missing -= taken;
    }
    return this.#missing === 0;
  }

  #skip(bytes: number): void {
    this.#rest = bytes === this.#rest.length ? none : this.#rest.subarray(bytes);
  }
}

function parseHead(text: string): HttpHead {
  if (!headShape.test(text)) throw new HttpSyntaxError("The head is not made of header lines");
  const [start = "", ...lines] = text.split("\r\n");
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return { start, headers };
}

function bodyLength({ headers }: HttpHead): number | "chunked" {
  const length = headers.get("content-length");
  const coding = headers.get("transfer-encoding");
  if (coding !== undefined) {
    if (length !== undefined) throw new HttpSyntaxError("The body has both a length and a transfer coding");
    if (coding.toLowerCase() !== "chunked") throw new HttpSyntaxError("The transfer coding is not chunked");
    return "chunked";
  }
  if (length === undefined) return 0;
  // Given twice it has become `5, 5`, which is refused too.
  if (!decimal.test(length)) throw new HttpSyntaxError("The length of the body is not a number");
  return Number(length);
}
