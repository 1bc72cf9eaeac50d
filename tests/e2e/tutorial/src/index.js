// The tutorial's Worker, with a handler that tells a recorder what it got and does as it is told.

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/send") {
      await env.EVENTS.send(await request.json());
    } else if (pathname === "/send-batch") {
      await env.EVENTS.sendBatch((await request.json()).map((body) => ({ body })));
    } else {
      return new Response("not found", { status: 404 });
    }
    return new Response("accepted", { status: 202 });
  },

  async queue(batch, env) {
    const messages = batch.messages.map(({ id, attempts, timestamp, body }) => ({
      id,
      attempts,
      timestamp: timestamp.getTime(),
      body,
    }));
    const response = await fetch(env.RECORDER_URL, {
      method: "POST",
      body: JSON.stringify({ queue: batch.queue, messages }),
    });
    const instruction = await response.json();
    if (instruction.do === "throw") throw new Error("the recorder said so");
    if (instruction.do === "hang") await new Promise((resolve) => setTimeout(resolve, 3_600_000));
    if (instruction.do === "retry") {
      for (const message of batch.messages) if (instruction.ids.includes(message.id)) message.retry();
    }
  },
};
