// Stores numbered messages in a queue as fast as bulk pushes take them in.

import { messageBody } from "../../packages/millrace/src/cli/bench/message-body.ts";
import type { LoadPlan, LoadResult } from "../../packages/millrace/src/cli/bench/http-load.ts";
import type { ChildModule } from "./child-module.ts";
import { fittingBatch } from "./fitting-batch.ts";
import type { BenchQueue, MillraceServer } from "./server.ts";

const connections = 16;
/** Of larger messages fewer are stored: a turn moves no more bytes than this. */
const mostBytes = 200_000_000;

/** How many messages a turn takes that would take `messages` small ones: whole batches. */
export function messagesOfTurn(
  messages: number,
  { batch, bytes }: { readonly batch: number; readonly bytes: number },
): number {
  return Math.max(1, Math.round(Math.min(messages, mostBytes / bytes) / batch)) * batch;
}

export async function storeMessages(
  generator: ChildModule,
  server: MillraceServer,
  queue: BenchQueue,
  plan: { readonly firstNumber: number; readonly messages: number; readonly bytes: number },
): Promise<void> {
  const { firstNumber, messages, bytes } = plan;
  const perRequest = fittingBatch(bytes);
  const whole = messages - (messages % perRequest);
  if (whole > 0) await push(perRequest, firstNumber, whole / perRequest);
  if (messages > whole) await push(messages - whole, firstNumber + whole, 1);

  async function push(count: number, first: number, requests: number): Promise<void> {
    const one = `{"body":${messageBody(bytes)}}`;
    const body = `{"messages":[${Array.from({ length: count }, () => one).join(",")}]}`;
    const texts = [server.requestText("POST", `${server.messagesPath(queue)}/batch`, body)];
    const load: LoadPlan = {
      address: server.address,
      connections: Math.min(connections, requests),
      seconds: 3_600,
      requests,
      texts,
      firstNumber: first,
    };
    const { refused, firstRefusal } = await generator.call<LoadResult>("load", load);
    if (refused.length > 0) throw new Error(`${refused.length} messages were refused: ${firstRefusal}`);
  }
}

/** The same, spread evenly. */
export async function storeSpread(
  generator: ChildModule,
  server: MillraceServer,
  queues: readonly BenchQueue[],
  { firstNumber, messages, bytes }: Parameters<typeof storeMessages>[3],
): Promise<void> {
  let stored = 0;
  for (const [place, queue] of queues.entries()) {
    const share = Math.floor((messages * (place + 1)) / queues.length) - stored;
    await storeMessages(generator, server, queue, { firstNumber: firstNumber + stored, messages: share, bytes });
    stored += share;
  }
}
