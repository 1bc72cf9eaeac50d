// The last events and those to come.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createEventFeed } from "../../src/observability/index.ts";
import type { FeedEvent } from "../../src/observability/index.ts";

const texts = (events: readonly FeedEvent[]): unknown[] => events.map(({ fields }) => fields["text"]);

test("remembers the last events that are of interest, and forgets the oldest", () => {
  const feed = createEventFeed({ capacity: 3, keeps: (event) => event === "worker.log", now: () => 5 });
  assert.deepEqual(feed.recent(10), []);
  for (const text of ["a", "b"]) feed.observe("worker.log", { worker: "w", text });
  feed.observe("message.accepted", { queue: "q" });
  assert.deepEqual(texts(feed.recent(10)), ["a", "b"]);
  for (const text of ["c", "d", "e"]) feed.observe("worker.log", { worker: text === "d" ? "other" : "w", text });
  assert.deepEqual(texts(feed.recent(10)), ["c", "d", "e"]);
  assert.deepEqual(texts(feed.recent(2)), ["d", "e"]);
  assert.deepEqual(texts(feed.recent(2, ({ fields }) => fields["worker"] === "w")), ["c", "e"]);
  assert.deepEqual(feed.recent(1)[0], { number: 4, at: 5, event: "worker.log", fields: { worker: "w", text: "e" } });
});

test("tells subscribers until they have heard enough", () => {
  const feed = createEventFeed({ capacity: 1, keeps: () => true, now: () => 0 });
  const heard: FeedEvent[] = [];
  const stop = feed.subscribe((event) => heard.push(event));
  feed.observe("one", {});
  stop();
  feed.observe("two", {});
  assert.deepEqual(
    heard.map(({ event }) => event),
    ["one"],
  );
});
