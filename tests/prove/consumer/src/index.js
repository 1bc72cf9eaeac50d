// Tells the recorder of every delivery before anything else, then does as the recorder says.

import { readBody } from "../../message-body.ts";

export default {
  async queue(batch, env) {
    const messages = batch.messages.map(({ id, attempts, body }) => {
      const { id: name, isIntact } = readBody(body);
      return { id: name, messageId: id, attempts, isIntact };
    });
    const response = await fetch(env.RECORDER_URL, {
      method: "POST",
      body: JSON.stringify({ queue: batch.queue, messages }),
    });
    const { acks, retries, fails } = await response.json();
    for (const index of acks) batch.messages[index].ack();
    for (const { index, delaySeconds } of retries) batch.messages[index].retry({ delaySeconds });
    if (fails) throw new Error("the recorder said so");
  },
};
