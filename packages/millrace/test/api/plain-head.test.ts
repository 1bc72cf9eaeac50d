// Which heads of requests are read without node:http, and which are left to its parser.
import assert from "node:assert/strict";
import { test } from "node:test";

import { mayBecomePlain, parsePlainHead } from "../../src/api/plain-head.ts";

const head = (...lines: readonly string[]): string => ["POST /a HTTP/1.1", "Host: x", ...lines].join("\r\n");

test("a plain head is read: path, headers by lower-case name, length of the body", () => {
  const parsed = parsePlainHead(
    head("CONTENT-length:  12 ", "Connection: Keep-Alive", "X-Empty:", "__proto__: 1", "X-Tab: a\tb \t"),
  );
  assert.equal(parsed?.url, "/a");
  assert.equal(parsed.length, 12);
  assert.deepEqual(Object.entries(parsed.headers), [
    ["host", "x"],
    ["content-length", "12"],
    ["connection", "Keep-Alive"],
    ["x-empty", ""],
    ["__proto__", "1"],
    ["x-tab", "a\tb"],
  ]);
});

test("a plain head may ask for something without a body", () => {
  const get = (...lines: readonly string[]): ReturnType<typeof parsePlainHead> =>
    parsePlainHead(head(...lines).replace("POST", "GET"));
  assert.deepEqual(get(), { method: "GET", url: "/a", headers: { __proto__: null, host: "x" }, length: 0 });
  for (const line of ["Content-Length: 0", "Content-Length: 2", "Transfer-Encoding: chunked", "Connection: close"])
    assert.equal(get(line), undefined, line);
});

test("whatever another parser could read in another way is no plain head", () => {
  const sized = "Content-Length: 2";
  for (const [what, text] of [
    ["no length", head()],
    ["two lengths", head(sized, sized)],
    ["a list of lengths", head("Content-Length: 2, 2")],
    ["a signed length", head("Content-Length: +2")],
    ["a hexadecimal length", head("Content-Length: 0x2")],
    ["a length with leading zeros", head("Content-Length: 02")],
    ["an empty length", head("Content-Length:")],
    ["a huge length", head("Content-Length: 9999999999")],
    ["a transfer coding", head(sized, "Transfer-Encoding: chunked")],
    ["an expectation", head(sized, "Expect: 100-continue")],
    ["an upgrade", head(sized, "Upgrade: h2c")],
    ["the end of the connection", head(sized, "Connection: close")],
    ["more than one connection option", head(sized, "Connection: keep-alive, x")],
    ["a connection option for proxies", head(sized, "Proxy-Connection: close")],
    ["a name that comes twice", head(sized, "X: 1", "x: 2")],
    ["a blank before the colon", head("Content-Length : 2")],
    ["a folded line", head(sized, "X: 1", " 2")],
    ["an empty name", head(sized, ": 1")],
    ["no colon", head(sized, "nonsense")],
    ["a bare line feed", head(`X: 1\n${sized}`)],
    ["a bare carriage return", head(`X: 1\r${sized}`)],
    ["a zero byte", head(sized, "X: \0")],
    ["a byte beyond ASCII", head(sized, "X: é")],
    ["an empty line first", `\r\n${head(sized)}`],
    ["HTTP/1.0", head(sized).replace("1.1", "1.0")],
    ["lower case", head(sized).replace("POST", "post")],
    ["another method", head(sized).replace("POST", "PUT")],
    ["two blanks", head(sized).replace("POST ", "POST  ")],
    ["a blank behind", head(sized).replace("1.1", "1.1 ")],
    ["a whole address", head(sized).replace("/a", "http://x/a")],
    ["a tab in the path", head(sized).replace("/a", "/a\tb")],
    ["nothing", ""],
  ] as const) {
    assert.equal(parsePlainHead(text), undefined, what);
  }
});

test("the beginning of a head is waited for while it may become a plain one", () => {
  for (const text of ["", "P", "POST /a", "POST /ab HTTP/1.1\r", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Le"])
    assert.equal(mayBecomePlain(text, "POST /a"), true, JSON.stringify(text));
  for (const text of ["G", "POST /b", "\r\n", "POST /a HTTP/1.1\nHost: x", "POST /a\rx", "POST /a\0", "POST /a é"])
    assert.equal(mayBecomePlain(text, "POST /a"), false, JSON.stringify(text));
});
