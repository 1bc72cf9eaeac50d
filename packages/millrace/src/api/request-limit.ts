// How many control-plane requests a token may make: off unless somebody sets it. Messages are never counted.
// Cloudflare's own is 1,200 in five minutes (queues-contract.md section 12).

import { MillraceError } from "../core/index.ts";
import type { Clock } from "../core/index.ts";
import type { Principal } from "./principal.ts";

const requestWindowMs = 300_000;

export class RequestLimit {
  readonly #limit: number | undefined;
  readonly #clock: Clock;
  readonly #windows = new Map<string, { readonly endsAt: number; count: number }>();

  /** `limit`: requests a token may make in five minutes; `undefined`: as many as it likes. */
  constructor(limit: number | undefined, clock: Clock) {
    this.#limit = limit;
    this.#clock = clock;
  }

  /** Throws `REQUEST_LIMIT_REACHED`. */
  take({ id, name }: Principal): void {
    if (this.#limit === undefined) return;
    const now = this.#clock.now();
    let window = this.#windows.get(id);
    if (window === undefined || window.endsAt <= now) {
      window = { endsAt: now + requestWindowMs, count: 0 };
      this.#windows.set(id, window);
    }
    if (window.count >= this.#limit) {
      throw new MillraceError(
        "REQUEST_LIMIT_REACHED",
        `Token ${name} made ${this.#limit} requests in five minutes, the most it may`,
        {
          fields: { retry_after_ms: window.endsAt - now },
        },
      );
    }
    window.count += 1;
  }
}
