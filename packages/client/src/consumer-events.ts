// What a consumer has to say while it runs. It never writes to a console; whoever wants to know listens.

import type { QueueError } from "./errors.ts";

export type ConsumerEvent = { readonly queue: string } & (
  | {
      /** The handler threw. Messages without a decision of their own are delivered again. */
      readonly kind: "handler-failed";
      readonly error: unknown;
      readonly messageIds: readonly string[];
    }
  | {
      /** Such as `ack()` after `retry()`; the first decision stands. */
      readonly kind: "decision-ignored";
      readonly reason: string;
      /** Absent for decisions on the whole batch. */
      readonly messageId?: string;
    }
  | {
      /** No messages for now: the server cannot be reached, is overloaded, or the queue is paused. It is tried again. */
      readonly kind: "pull-failed";
      readonly error: QueueError;
      readonly retryInMs: number;
    }
  | {
      /** Decisions could not be told to the server. The messages come again when their leases end. */
      readonly kind: "settle-failed";
      readonly error: QueueError;
      readonly messageIds: readonly string[];
    }
  | {
      /** The server remarked on a lease, for example that it had ended and the message may have been delivered again. */
      readonly kind: "settle-warning";
      readonly messageId: string;
      readonly warning: string;
    }
  | {
      /** The handler still runs, but its hold on a message has ended: somebody else may get it. */
      readonly kind: "lease-lost";
      readonly messageId: string;
      readonly warning: string;
    }
  | {
      readonly kind: "lease-extension-failed";
      readonly error: QueueError;
      /** The server has no such endpoint, and is not asked again. */
      readonly givesUp: boolean;
    }
);
