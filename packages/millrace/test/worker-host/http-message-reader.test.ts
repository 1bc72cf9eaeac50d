// HTTP/1.1 as it is read from connections to our own runtimes: whole messages out of any pieces, and nothing that is not plain.

import assert from "node:assert/strict";
import { test } from "node:test";
import { HttpMessageReader, HttpSyntaxError } from "../../src/worker-host/http-message-reader.ts";

interface Read {
  readonly start: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  readonly length: number;
}

/** Everything that can be read of some pieces. */
function read(pieces: readonly (string | Buffer)[], most = 100): Read[] {
  const reader = new HttpMessageReader(() => most);
  const messages: Read[] = [];
  for (const piece of pieces) {
    reader.push(typeof piece === "string" ? Buffer.from(piece, "latin1") : piece);
    for (let message = reader.next(); message !== undefined; message = reader.next()) {
      const { head, body, length } = message;
      const headers = Object.fromEntries(head.headers);
      messages.push({ start: head.start, headers, body: body?.toString("latin1"), length });
    }
  }
  return messages;
}

const sized = "POST /message HTTP/1.1\r\nContent-Length: 5\r\nX-Msg-Fmt:  text \r\n\r\nhello";
const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\nA\r\n0123456789\r\n00\r\n\r\n";
const bare = "GET /metrics HTTP/1.1\r\nHost: fake-host\r\n\r\n";

const expected: readonly Read[] = [
  {
    start: "POST /message HTTP/1.1",
    headers: { "content-length": "5", "x-msg-fmt": "text" },
    body: "hello",
    length: 5,
  },
  { start: "HTTP/1.1 200 OK", headers: { "transfer-encoding": "chunked" }, body: "\n0123456789", length: 11 },
  { start: "GET /metrics HTTP/1.1", headers: { host: "fake-host" }, body: "", length: 0 },
];

test("messages with a length, in chunks and without a body are read one after the other", () => {
  assert.deepEqual(read([sized + chunked + bare]), expected);
});

test("wherever the bytes are cut, the same messages are read", () => {
  const all = sized + chunked + bare;
  for (let cut = 1; cut < all.length; cut += 1) {
    assert.deepEqual(read([all.slice(0, cut), all.slice(cut)]), expected, `cut at ${cut}`);
  }
  assert.deepEqual(read(Array.from(all)), expected, "byte by byte");
});

test("a message is not there before its last byte", () => {
  for (const message of [sized, chunked, bare]) assert.deepEqual(read([message.slice(0, -1)]), []);
});

test("a body that is too large is read to its end, told by its length, and not kept", () => {
  const [large, next] = read(["POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", "x".repeat(101) + bare]);
  assert.deepEqual([large?.body, large?.length], [undefined, 101]);
  assert.equal(next?.start, "GET /metrics HTTP/1.1");
  const chunks = "32\r\n" + "x".repeat(50) + "\r\n";
  const head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  assert.deepEqual(read([`${head}${chunks}${chunks}0\r\n\r\n`])[0]?.body?.length, 100, "exactly what is allowed");
  assert.deepEqual(
    read([head, chunks, chunks, "1\r\nx\r\n", chunks, "0\r\n\r\n"]).map(({ body, length }) => [body, length]),
    [[undefined, 151]],
  );
});

test("of a header that comes twice the values are joined, so that a forged one spoils the true one", () => {
  const [message] = read(["GET / HTTP/1.1\r\nMillrace-Binding: a\r\nmillrace-binding: b\r\n\r\n"]);
  assert.equal(message?.headers["millrace-binding"], "a, b");
});

test("a connection is idle between two messages only", () => {
  const reader = new HttpMessageReader(() => 100);
  assert.equal(reader.isIdle, true);
  reader.push(Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"));
  assert.equal(reader.next(), undefined);
  assert.equal(reader.isIdle, false);
  reader.push(Buffer.from("b"));
  assert.equal(reader.next()?.length, 2);
  assert.equal(reader.isIdle, true);
});

const request = (...lines: readonly string[]): string => `POST / HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;

const refused: Readonly<Record<string, string>> = {
  "a line without a colon": request("Host"),
  "a name with a space before the colon": request("Content-Length : 5"),
  "a folded line": request("A: b", " c"),
  "a line feed alone": request("A: b\nContent-Length: 5"),
  "a carriage return alone": request("A: b\rContent-Length: 5"),
  "a NUL": request("A: b\u0000"),
  "an empty first line": `\r\n${bare}`,
  "a length that is not a number": request("Content-Length: 5x"),
  "a length with a sign": request("Content-Length: +5"),
  "a negative length": request("Content-Length: -1"),
  "an empty length": request("Content-Length:"),
  "a length nothing can hold": request("Content-Length: 9999999999999999"),
  "two lengths": request("Content-Length: 5", "Content-Length: 5"),
  "a length and chunks": request("Content-Length: 5", "Transfer-Encoding: chunked"),
  "another transfer coding": request("Transfer-Encoding: gzip, chunked"),
  "two transfer codings": request("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
  "a chunk without a size": `${request("Transfer-Encoding: chunked")}\r\n`,
  "a chunk size that is not hexadecimal": `${request("Transfer-Encoding: chunked")}g\r\n`,
  "a chunk size with an extension": `${request("Transfer-Encoding: chunked")}1;a=b\r\n`,
  "a chunk size that does not end": `${request("Transfer-Encoding: chunked")}0000000001`,
  "a chunk longer than its size": `${request("Transfer-Encoding: chunked")}1\r\nxx\r\n`,
  "a trailer": `${request("Transfer-Encoding: chunked")}0\r\nA: b\r\n\r\n`,
  "a head that is too long": request(`A: ${"x".repeat(16_384)}`),
  "a head that does not end": `POST / HTTP/1.1\r\nA: ${"x".repeat(16_384)}`,
};

for (const [what, bytes] of Object.entries(refused)) {
  test(`refused: ${what}`, () => {
    assert.throws(() => read([bytes]), HttpSyntaxError);
    assert.throws(() => read(Array.from(bytes)), HttpSyntaxError, "byte by byte");
  });
}
