// The Worker that sends: the same source for Millrace and for every broker beside it.
//
//   GET /send/0000000042     awaits one send            GET /batch/0000000042,…   awaits sendBatch of all the numbers
//   GET /none/0000000042     makes the message and answers without a send

/** `text` fills each message up to its size. */
export const senderSource = `
const init = { status: 200 };
export default {
  async fetch(request, env) {
    const [, , , what, rest] = request.url.split("/", 5);
    const [numbers, binding = "QUEUE"] = rest.split("?", 2);
    const queue = env[binding];
    switch (what) {
      case "send":
        await queue.send({ id: numbers, text: env.TEXT });
        break;
      case "batch":
        await queue.sendBatch(numbers.split(",").map((id) => ({ body: { id, text: env.TEXT } })));
        break;
      case "none":
        JSON.stringify({ id: numbers, text: env.TEXT });
        break;
      default:
        return new Response("no such path", { status: 404 });
    }
    return new Response("ok", init);
  },
};
`;
