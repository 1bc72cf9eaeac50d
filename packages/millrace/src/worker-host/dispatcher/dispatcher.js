// Runs inside workerd beside the user's Worker. Takes a batch over HTTP, hands it to the Worker's queue handler, answers what
// the handler decided. The server cannot call a queue handler itself: only a service binding can.
//
// POST /deliver   body: u32 length of the header (big endian), header (JSON), then the bodies one after the other.
//                 answer: the result as JSON. Before the handler begins, a line on the output is the receipt.
// GET  /ping      204 as long as the event loop turns.
//
// Must stay plain JavaScript: workerd reads it as it is.

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

export default {
  async fetch(request, env) {
    if (request.method === "GET") return new Response(null, { status: 204 });
    // Not waitUntil: when the server hangs up, the handler shall be cancelled with the request.
    return Response.json(await deliver(await request.arrayBuffer(), env));
  },

  /** Reached through env.SELF: that it runs at all shows that the bodies can be deserialised. */
  queue() {},

  /** Only when the Worker's invocations are being watched. */
  async tail(traces, env) {
    await env.TRACES.fetch("http://millrace/traces", { method: "POST", body: JSON.stringify(traces) });
  },
};

async function deliver(frame, env) {
  const headerLength = new DataView(frame).getUint32(0);
  const header = JSON.parse(utf8.decode(new Uint8Array(frame, 4, headerLength)));
  // oxlint-disable-next-line no-console -- the receipt
  console.log(env.RECEIPT + header.number);
  const undecodable = [];
  const messages = [];
  const cloned = [];
  let offset = 4 + headerLength;
  for (const { id, timestamp, attempts, type, bytes } of header.messages) {
    const body = new Uint8Array(frame, offset, bytes);
    offset += bytes;
    const message = { id, timestamp, attempts };
    if (type === "v8") {
      message.serializedBody = body;
      cloned.push(message);
    } else {
      try {
        message.body = decode(type, body);
      } catch (error) {
        undecodable.push({ id, message: String(error) });
        continue;
      }
    }
    messages.push(message);
  }
  const metadata = { metrics: header.metrics };
  let result = await call(env.USER, header.queue, messages, metadata);
  if (cloned.length > 0 && decidedNothing(result)) {
    // One body that cannot be deserialised fails the whole batch before the handler runs: find it and go on without it.
    const bad = await undeserialisable(env.SELF, cloned);
    if (bad.size > 0) {
      for (const id of bad) undecodable.push({ id, message: "the v8 body cannot be deserialised" });
      result = await call(
        env.USER,
        header.queue,
        messages.filter(({ id }) => !bad.has(id)),
        metadata,
      );
    }
  }
  return { ...result, undecodable };
}

function decode(type, body) {
  switch (type) {
    case "json":
      return JSON.parse(utf8.decode(body));
    case "text":
      return utf8.decode(body);
    default:
      return body.slice();
  }
}

async function call(target, queue, messages, metadata) {
  if (messages.length === 0) {
    return { outcome: "ok", ackAll: false, retryBatch: { retry: false }, explicitAcks: [], retryMessages: [] };
  }
  try {
    return await target.queue(queue, messages, metadata);
  } catch (error) {
    return {
      outcome: "exception",
      ackAll: false,
      retryBatch: { retry: false },
      explicitAcks: [],
      retryMessages: [],
      error: { name: String(error?.name ?? "Error"), message: String(error?.message ?? error), stack: error?.stack },
    };
  }
}

function decidedNothing(result) {
  const { outcome, ackAll, retryBatch, explicitAcks, retryMessages } = result;
  return outcome !== "ok" && !ackAll && !retryBatch.retry && explicitAcks.length === 0 && retryMessages.length === 0;
}

/** Ids of the messages whose bodies cannot be deserialised; usually none, found in one call. */
async function undeserialisable(self, messages) {
  const bad = new Set();
  if ((await call(self, "check", messages)).outcome === "ok") return bad;
  for (const message of messages) {
    if ((await call(self, "check", [message])).outcome !== "ok") bad.add(message.id);
  }
  return bad;
}
