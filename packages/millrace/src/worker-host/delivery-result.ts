// What the dispatcher answered, read into the core's terms.

import { failedDelivery, seconds } from "../core/index.ts";
import type { DeliveryResult, MessageId, Milliseconds } from "../core/index.ts";
import { limits } from "../contract/index.ts";
import type { HandlerError } from "../broker/index.ts";

export interface DispatchAnswer {
  readonly result: DeliveryResult;
  /** Why the handler could not be called at all. */
  readonly error: HandlerError | undefined;
  /** Messages whose stored body is not what its content type says. Each counts as a failed delivery, alone. */
  readonly undecodable: readonly { readonly id: string; readonly message: string }[];
}

/** The shape the runtime gives. Source: runtime-protocol.md section 4. */
interface RawResult {
  readonly outcome: string;
  readonly ackAll: boolean;
  readonly retryBatch: { readonly retry: boolean; readonly delaySeconds?: number };
  readonly explicitAcks: readonly string[];
  readonly retryMessages: readonly { readonly msgId: string; readonly delaySeconds?: number }[];
  readonly undecodable?: readonly { readonly id: string; readonly message: string }[];
  readonly error?: { readonly name: string; readonly message: string; readonly stack?: string };
}

/** Our own dispatcher wrote it, so its shape is not in doubt; a text cut short throws. */
export function parseDispatchAnswer(text: string): DispatchAnswer {
  const raw = JSON.parse(text) as RawResult;
  const undecodable = raw.undecodable ?? [];
  if (raw.error !== undefined) {
    const { name, message, stack } = raw.error;
    return { result: failedDelivery(raw.outcome), error: { name, message, stack }, undecodable };
  }
  return {
    result: {
      outcome: raw.outcome,
      ackAll: raw.ackAll,
      retryBatch: { retry: raw.retryBatch.retry, delay: retryDelay(raw.retryBatch.delaySeconds) },
      explicitAcks: raw.explicitAcks as readonly MessageId[],
      retryMessages: [
        ...raw.retryMessages.map(({ msgId, delaySeconds }) => ({
          id: msgId as MessageId,
          delay: retryDelay(delaySeconds),
        })),
        ...undecodable.map(({ id }) => ({ id: id as MessageId, delay: undefined })),
      ],
    },
    error: undefined,
    undecodable,
  };
}

/** Out of range values arrive as they were written: the nearest allowed one is meant. */
function retryDelay(delaySeconds: number | undefined): Milliseconds | undefined {
  if (delaySeconds === undefined) return undefined;
  const { min, max } = limits.message.delay;
  return seconds(Math.min(max, Math.max(min, Math.trunc(delaySeconds))));
}
