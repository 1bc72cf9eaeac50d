// The Worker that calls back with the numbers of what it was given, by message or by request.
//
//   GET /send/0000000042    awaits one send          GET /call/0000000042    calls back at once

export const callerSource = `
export default {
  async fetch(request, env) {
    const [, , , what, id] = request.url.split("/", 5);
    if (what === "send") await env.QUEUE.send({ id, text: env.TEXT });
    else await fetch(env.CALLBACK + "/" + id);
    return new Response("ok");
  },
  async queue(batch, env) {
    await fetch(env.CALLBACK + "/" + batch.messages.map(({ body }) => body.id).join(","));
  },
};
`;
