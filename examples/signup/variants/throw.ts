// Always throws: every message is attempted four times (max_retries is 3) and ends in my-app-events-dlq.

import worker from "../src/index.ts";
import type { Env, WelcomeEmail } from "../src/index.ts";

export default {
  ...worker,

  async queue(batch) {
    throw new Error(`no luck with attempt ${batch.messages[0]?.attempts}`);
  },
} satisfies ExportedHandler<Env, WelcomeEmail>;
