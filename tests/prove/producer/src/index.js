// Sends through the queue binding what it is asked to, and answers 202 once the send has resolved.

export default {
  async fetch(request, env) {
    const { binding, items } = await request.json();
    const messages = items.map(({ body, contentType, delaySeconds }) => ({
      body: encoded(body, contentType),
      contentType,
      delaySeconds,
    }));
    const [first] = messages;
    if (new URL(request.url).pathname === "/send-batch") await env[binding].sendBatch(messages);
    else await env[binding].send(first.body, { contentType: first.contentType, delaySeconds: first.delaySeconds });
    return new Response(null, { status: 202 });
  },
};

function encoded(body, contentType) {
  switch (contentType) {
    case "text":
      return JSON.stringify(body);
    case "bytes":
      return new TextEncoder().encode(JSON.stringify(body));
    case "v8":
      return new Map(Object.entries(body));
    default:
      return body;
  }
}
