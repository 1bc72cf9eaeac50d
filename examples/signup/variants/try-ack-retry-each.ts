// Decides about each message by itself: one mail that cannot be sent delays no other.

import worker, { sendWelcomeEmail } from "../src/index.ts";
import type { Env, WelcomeEmail } from "../src/index.ts";

export default {
  ...worker,

  async queue(batch, env) {
    for (const message of batch.messages) {
      try {
        await sendWelcomeEmail(message.body, env);
        message.ack();
      } catch (error) {
        console.error(message.body.userId, String(error));
        message.retry({ delaySeconds: message.attempts }); // a little later each time
      }
    }
  },
} satisfies ExportedHandler<Env, WelcomeEmail>;
