// Acknowledges each message once its mail is sent. What is acknowledged stays done, even when a later one throws:
// only the rest of the batch is delivered again.

import worker, { sendWelcomeEmail } from "../src/index.ts";
import type { Env, WelcomeEmail } from "../src/index.ts";

export default {
  ...worker,

  async queue(batch, env) {
    for (const message of batch.messages) {
      await sendWelcomeEmail(message.body, env);
      message.ack();
    }
  },
} satisfies ExportedHandler<Env, WelcomeEmail>;
