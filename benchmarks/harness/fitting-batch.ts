// How many messages go into one request.

import { limits } from "../../packages/millrace/src/contract/index.ts";

/** As many as a batch may have, 100, or as fit into its bytes. */
export function fittingBatch(bytes: number): number {
  const { count, bytes: most } = limits.batchSend;
  return Math.max(1, Math.min(count.max, Math.floor(most / bytes)));
}
