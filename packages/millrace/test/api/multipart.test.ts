// Multipart forms as clients write them: any boundary the standard allows, any bytes inside.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseMultipart } from "../../src/api/workers/multipart.ts";
import { isMillraceError } from "../../src/core/index.ts";

const parse = (body: string | Buffer, type: string) =>
  parseMultipart(Buffer.from(body), type).map(({ field, filename, contentType, bytes }) => [
    field,
    filename,
    contentType,
    Buffer.from(bytes).toString("latin1"),
  ]);

const form = (boundary: string, ...parts: readonly string[]): string =>
  `${parts.map((part) => `--${boundary}\r\n${part}\r\n`).join("")}--${boundary}--\r\n`;

const disposition = (rest: string): string => `Content-Disposition: form-data; ${rest}`;

test("boundaries of one to seventy characters, quoted or not, with a preamble and an end", () => {
  const part = `${disposition('name="a"')}\r\n\r\n1`;
  for (const boundary of ["x", "----WebKitFormBoundary", "a'()+_,-./:=?b", "b".repeat(70), "with space"]) {
    const type = `multipart/form-data; charset=utf-8; boundary="${boundary}"`;
    const body = form(boundary, part);
    const expected = [["a", undefined, "", "1"]];
    assert.deepEqual(parse(body, type), expected, boundary);
    assert.deepEqual(parse(`a preamble\r\n${body}an end`, type), expected, boundary);
    assert.deepEqual(parse(body.replaceAll(`--${boundary}\r\n`, `--${boundary} \t\r\n`), type), expected, boundary);
  }
  assert.deepEqual(parse(form("x", part), "Multipart/Form-Data;boundary=x"), [["a", undefined, "", "1"]]);
  assert.deepEqual(parse(form("x", part), "multipart/form-data; boundary=x; charset=utf-8"), [
    ["a", undefined, "", "1"],
  ]);
});

test("a longer boundary is none", () => {
  const part = `${disposition('name="a"')}\r\n\r\n1`;
  assert.deepEqual(parse(`--xy\r\n${part}\r\n${form("x", part)}`, "multipart/form-data; boundary=x"), [
    ["a", undefined, "", "1"],
  ]);
});

test("names and file names, in any of the ways they are written", () => {
  const type = "multipart/form-data; boundary=x";
  const one = (...headers: readonly string[]) =>
    parse(form("x", `${headers.join("\r\n")}\r\n\r\n`), type)[0]?.slice(0, 3);
  assert.deepEqual(one(disposition('name="a"; filename="dir/b.js"')), ["a", "dir/b.js", ""]);
  assert.deepEqual(one(disposition("filename=b.js; name=a")), ["a", "b.js", ""]);
  assert.deepEqual(one(disposition('name="a%22%0D%0A%"; filename="b;\\"c"')), ['a"\r\n%', 'b;"c', ""]);
  assert.deepEqual(one(disposition('name="ž"; filename=""')), ["ž", "", ""]);
  assert.deepEqual(one(disposition('name="a"; filename="z"; filename*=UTF-8\'\'%C5%BE.js')), ["a", "ž.js", ""]);
  const upper = [`CONTENT-TYPE:Application/WASM; x=y`, `content-disposition:form-data;name="a"`, "X-Other: 1"];
  assert.deepEqual(one(...upper), ["a", undefined, "application/wasm"]);
});

test("a body is whatever lies between two boundaries", () => {
  const type = "multipart/form-data; boundary=x";
  const head = `${disposition('name="a"')}\r\n\r\n`;
  for (const body of ["", "\r\n", "--x", "\r\n-x", "\r\n--", "a\r\n\r\nb", "--x--", "\n--x\n", "\u0000\u00ff"]) {
    assert.deepEqual(parse(Buffer.from(form("x", head + body), "latin1"), type), [["a", undefined, "", body]]);
  }
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array).toString("latin1"));
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 5 }), (bodies) => {
      const boundary = "a-boundary-that-no-random-bytes-hold";
      const body = Buffer.from(form(boundary, ...bodies.map((each) => head + each)), "latin1");
      const found = parse(body, `multipart/form-data; boundary=${boundary}`);
      assert.deepEqual(
        found.map((part) => part[3]),
        bodies,
      );
    }),
  );
});

test("what is no form is refused, whatever it is", () => {
  const type = "multipart/form-data; boundary=x";
  const refused = (body: string, contentType = type): void =>
    assert.throws(
      () => parse(body, contentType),
      (error) => isMillraceError(error, "REQUEST_MALFORMED"),
      body,
    );
  const good = form("x", `${disposition('name="a"')}\r\n\r\n1`);
  for (const contentType of [
    "",
    "text/plain",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/mixed; boundary=x",
  ])
    refused(good, contentType);
  refused(good, `multipart/form-data; boundary=${"b".repeat(71)}`);
  refused(good.slice(0, -4));
  for (const part of [
    "",
    "no headers",
    "\r\nno name",
    `${disposition("name")}\r\n\r\n`,
    `Content-Disposition: inline; name="a"\r\n\r\n`,
  ])
    refused(form("x", part));
  refused(form("x", `X: ${"y".repeat(20_000)}\r\n${disposition('name="a"')}\r\n\r\n1`));
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom("", "--x\r\n", good.slice(0, 40)),
      (bytes, start) => {
        try {
          parseMultipart(Buffer.concat([Buffer.from(start), bytes]), type);
        } catch (error) {
          assert.ok(isMillraceError(error, "REQUEST_MALFORMED"));
        }
      },
    ),
  );
});
