// Which changes are deployed, and when.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createDeployLoop } from "../../src/cli/dev/deploy-loop.ts";

/** Deploys that end when the test says so. */
function controlled() {
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const loop = createDeployLoop<string>(async (project, file) => {
    begun.push(file === undefined ? project : `${project}:${file}`);
    const { promise, resolve } = Promise.withResolvers<void>();
    ends.push(resolve);
    await promise;
  });
  const endNext = async (): Promise<void> => {
    ends.shift()?.();
    await new Promise(setImmediate);
  };
  return { begun, loop, endNext };
}

test("one at a time; what changes meanwhile is deployed once, with its last change", async () => {
  const { begun, loop, endNext } = controlled();
  loop.request("app", "a.ts");
  for (const file of ["b.ts", "c.ts", "d.ts"]) loop.request("app", file);
  loop.request("other");
  assert.deepEqual(begun, ["app:a.ts"]);
  await endNext();
  assert.deepEqual(begun, ["app:a.ts", "app:d.ts"]);
  await endNext();
  assert.deepEqual(begun, ["app:a.ts", "app:d.ts", "other"]);
  await endNext();
  await loop.idle();
  assert.equal(begun.length, 3);
});

test("after a pause it goes on", async () => {
  const { begun, loop, endNext } = controlled();
  loop.request("app", "a.ts");
  await endNext();
  await loop.idle();
  loop.request("app", "b.ts");
  assert.deepEqual(begun, ["app:a.ts", "app:b.ts"]);
  await endNext();
});

test("stopping waits for the one that runs and begins no other", async () => {
  const { begun, loop, endNext } = controlled();
  loop.request("app", "a.ts");
  loop.request("app", "b.ts");
  const stopped = loop[Symbol.asyncDispose]();
  loop.request("app", "c.ts");
  await endNext();
  await stopped;
  assert.deepEqual(begun, ["app:a.ts"]);
});
