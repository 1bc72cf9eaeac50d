// Which word somebody probably meant.
import assert from "node:assert/strict";
import { test } from "node:test";
import { nearest } from "../../src/config/index.ts";

const known = ["MILLRACE_PORT", "MILLRACE_HOST", "MILLRACE_DATA"];

test("a slip of the fingers finds the word", () => {
  assert.equal(nearest("MILLRACE_PROT", known), "MILLRACE_PORT");
  assert.equal(nearest("MILLRACE_DAT", known), "MILLRACE_DATA");
  assert.equal(nearest("millrace_host", known), "MILLRACE_HOST");
  assert.equal(nearest("jsno", ["pretty", "json"]), "json");
});

test("something else finds nothing", () => {
  assert.equal(nearest("MILLRACE_COLOUR", known), undefined);
  assert.equal(nearest("xml", ["pretty", "json"]), undefined);
  assert.equal(nearest("", known), undefined);
});
