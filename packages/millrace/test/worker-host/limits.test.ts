// Every limit a Worker's queue binding can run into: what lies at the edge is taken, what lies one beyond is refused in the
// words that a Worker of its compatibility date sees. Numbers come from the contract's table.

import assert from "node:assert/strict";
import { test } from "node:test";
import { updateQueue } from "../../src/broker/index.ts";
import type { IntakeLimits } from "../../src/contract/index.ts";
import { limits } from "../../src/contract/index.ts";
import type { QueueRecord } from "../../src/core/index.ts";
import { eventsBinding, HostHarness } from "./host-harness.ts";

/** Sends what the request's body describes: a message, or a batch of messages of these sizes. */
const sender = `
const body = (size, type) => (type === "bytes" ? new Uint8Array(size) : "x".repeat(size));
async function run(queue, { sizes, type = "text", batch = sizes.length !== 1, delaySeconds, itemDelay }) {
  const options = delaySeconds === undefined ? {} : { delaySeconds };
  if (!batch) return await queue.send(body(sizes[0], type), { contentType: type, ...options });
  const item = (size) => ({ body: body(size, type), contentType: type, ...(itemDelay !== undefined && { delaySeconds: itemDelay }) });
  return await queue.sendBatch(sizes.map(item), options);
}
export default {
  async fetch(request, env) {
    try {
      await run(env.EVENTS, await request.json());
      return new Response("sent");
    } catch (error) {
      return new Response(error.name + ": " + error.message);
    }
  },
};`;

interface Sending {
  readonly sizes: readonly number[];
  readonly type?: "text" | "bytes";
  readonly batch?: boolean;
  readonly delaySeconds?: number;
  readonly itemDelay?: number;
}

const messageBytes = limits.message.bytes;
const { bytes: batchBytes, count } = limits.batchSend;
const { delay } = limits.message;
const ones = (length: number): readonly number[] => Array.from({ length }, () => 1);

/** What is taken at the edge; what is refused beyond it, with the cause and the code of the refusal. */
const edges: readonly {
  readonly limit: string;
  readonly taken: readonly Sending[];
  readonly refused: readonly Sending[];
  readonly cause: RegExp;
  readonly code: number;
}[] = [
  {
    limit: "bytes of a message",
    taken: [{ sizes: [0] }, { sizes: [messageBytes] }, { sizes: [messageBytes], type: "bytes" }],
    refused: [{ sizes: [messageBytes + 1] }, { sizes: [messageBytes + 1], type: "bytes" }],
    cause: /^Message length of 128001 bytes exceeds the limit of 128000$/,
    code: 10_204,
  },
  {
    limit: "bytes of a message in a batch",
    taken: [{ sizes: [messageBytes], batch: true }],
    refused: [{ sizes: [messageBytes + 1], batch: true }],
    cause: /^Message length of 128001 bytes exceeds the limit of 128000$/,
    code: 10_204,
  },
  {
    limit: "bytes of a batch",
    taken: [{ sizes: [messageBytes, batchBytes - messageBytes] }],
    refused: [{ sizes: [messageBytes, batchBytes - messageBytes, 1] }],
    cause: /^Batch size of 256001 bytes exceeds the limit of 256000$/,
    code: 10_205,
  },
  {
    limit: "messages of a batch",
    taken: [{ sizes: ones(count.min), batch: true }, { sizes: ones(count.max) }],
    refused: [{ sizes: ones(count.max + 1) }],
    cause: /^Batch message count of 101 exceeds the limit of 100$/,
    code: 10_206,
  },
  {
    limit: "delay of a message",
    taken: [delay.min, delay.max].flatMap((seconds) => [
      { sizes: [1], delaySeconds: seconds },
      { sizes: [1], batch: true, itemDelay: seconds },
    ]),
    refused: [delay.min - 1, delay.max + 1].flatMap((seconds) => [
      { sizes: [1], delaySeconds: seconds },
      { sizes: [1], batch: true, itemDelay: seconds },
    ]),
    cause: /^Message delay of (?:-1|86401) seconds is outside 0 to 86400$/,
    code: 10_203,
  },
  {
    limit: "delay of a batch",
    taken: [delay.min, delay.max].map((seconds) => ({ sizes: [1], batch: true, delaySeconds: seconds })),
    refused: [delay.min - 1, delay.max + 1].map((seconds) => ({ sizes: [1], batch: true, delaySeconds: seconds })),
    cause: /^Batch delay of (?:-1|86401) seconds is outside 0 to 86400$/,
    code: 10_202,
  },
];

const isBatch = ({ sizes, batch }: Sending): boolean => batch ?? sizes.length !== 1;
const beforeCodes = "2026-03-11";
const sinceCodes = "2026-03-12";

/** The cause of a refusal as a Worker of this date sees it; fails unless the rest is as it must be. */
function causeOf(text: string, date: string, sending: Sending, code: number): string {
  const form =
    date >= sinceCodes
      ? /^Error: (.*) \((\d+)\)$/
      : isBatch(sending)
        ? /^Error: Queue sendBatch failed: (.*)$/
        : /^Error: Queue send failed: (.*)$/;
  const match = form.exec(text);
  assert.ok(match?.[1] !== undefined, `${date}: ${text}`);
  if (date >= sinceCodes) assert.equal(Number(match[2]), code, text);
  return match[1];
}

async function open(date: string): Promise<{
  readonly harness: HostHarness;
  readonly queue: QueueRecord;
  readonly send: (sending: Sending) => Promise<string>;
}> {
  const harness = await HostHarness.open();
  const queue = await harness.queue("events");
  await harness.deploy({ source: sender, bindings: [eventsBinding(queue)], date });
  const send = async (sending: Sending): Promise<string> => await harness.fetch("/", { body: JSON.stringify(sending) });
  return { harness, queue, send };
}

async function limitIntake({ controlPlane }: HostHarness, { id }: QueueRecord, set: Partial<IntakeLimits>) {
  await controlPlane.change("test", (view, context) => updateQueue(view, context, { id, intakeLimits: set }));
}

for (const date of ["2023-01-01", beforeCodes, sinceCodes, "2026-10-01"]) {
  test(`a Worker of ${date} may send what lies at a limit's edge, and one beyond is refused and not stored`, async () => {
    const { harness, queue, send } = await open(date);
    await using _ = harness;
    for (const { limit, taken, refused, cause, code } of edges) {
      const { backlog: before } = await harness.engine.metrics(queue.id);
      for (const sending of taken) assert.equal(await send(sending), "sent", `${limit}: ${JSON.stringify(sending)}`);
      for (const sending of refused) assert.match(causeOf(await send(sending), date, sending, code), cause, limit);
      const { backlog } = await harness.engine.metrics(queue.id);
      const messages = taken.reduce((sum, { sizes }) => sum + sizes.length, 0);
      assert.equal(backlog.count - before.count, messages, limit);
    }
  });

  test(`a Worker of ${date} learns that the queue's backlog limit is reached, to the byte`, async () => {
    const { harness, queue, send } = await open(date);
    await using _ = harness;
    const { min } = limits.queue.backlogLimit;
    await limitIntake(harness, queue, { backlog_limit_bytes: min });
    for (let left: number = min; left > 0; left -= messageBytes) {
      assert.equal(await send({ sizes: [Math.min(left, messageBytes)] }), "sent");
    }
    for (const sending of [{ sizes: [1] }, { sizes: [1], batch: true }]) {
      const cause = causeOf(await send(sending), date, sending, 10_251);
      // Before codes, the documented words alone: programs compare them.
      assert.match(cause, date < sinceCodes ? /^Storage Limit Exceeded$/ : /^Storage Limit Exceeded: queue events /);
    }
    assert.equal((await harness.engine.metrics(queue.id)).backlog.bytes, min);
  });

  test(`a Worker of ${date} learns that the queue's rate limit is reached`, async () => {
    const { harness, queue, send } = await open(date);
    await using _ = harness;
    assert.equal(await send({ sizes: ones(100) }), "sent", "nothing is limited unless somebody asks for it");
    await limitIntake(harness, queue, { messages_per_second: 1 });
    // A full bucket lets one batch pass that is larger than it: nothing more for 100 seconds.
    assert.equal(await send({ sizes: ones(100) }), "sent");
    for (const sending of [{ sizes: [1] }, { sizes: [1], batch: true }]) {
      const cause = causeOf(await send(sending), date, sending, 10_250);
      assert.match(
        cause,
        date < sinceCodes ? /^Too Many Requests$/ : /^Too Many Requests: queue events .* 1 message a/,
      );
    }
    await limitIntake(harness, queue, { messages_per_second: null });
    assert.equal(await send({ sizes: [1] }), "sent");
    assert.equal((await harness.engine.metrics(queue.id)).backlog.count, 201);
  });
}
