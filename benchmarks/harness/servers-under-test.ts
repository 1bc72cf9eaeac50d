// The servers a benchmark of sends, pulls or deliveries measures: one that is empty, and, where the options say so, one with a large
// backlog beside it and one whose work is spread over many queues. They take turns like all other contenders.

import { join } from "node:path";
import type { Ratio, RunOptions } from "./benchmark.ts";
import { fill } from "./fill.ts";
import { MillraceServer } from "./server.ts";
import type { BenchQueue } from "./server.ts";

const plain = "Millrace";
const withBacklog = "Millrace with a backlog";
const overQueues = "Millrace over many queues";

export interface ServerUnderTest {
  readonly name: string;
  readonly millrace: MillraceServer;
  /** Where the work is done. */
  readonly queues: readonly BenchQueue[];
}

export class ServersUnderTest implements AsyncDisposable {
  /** What a backlog and many queues may cost. */
  static readonly ratios: readonly Ratio[] = [
    { of: withBacklog, to: plain, target: 0.85 },
    { of: overQueues, to: plain, target: 0.5 },
  ];

  readonly all: readonly ServerUnderTest[];
  readonly #parts: AsyncDisposableStack;

  private constructor(all: readonly ServerUnderTest[], parts: AsyncDisposableStack) {
    this.all = all;
    this.#parts = parts;
  }

  static async start(
    folder: string,
    { backlog, queues, bytes, profile }: RunOptions,
    consumer: "pull" | "none" = "pull",
  ): Promise<ServersUnderTest> {
    const newQueue = async (server: MillraceServer, name: string): Promise<BenchQueue> => {
      const queue = await server.createQueue(name);
      if (consumer === "pull") await server.pullable(queue);
      return queue;
    };
    await using parts = new AsyncDisposableStack();
    const millrace = parts.use(await MillraceServer.start(join(folder, "empty"), { profile }));
    const all: ServerUnderTest[] = [{ name: plain, millrace, queues: [await newQueue(millrace, "work")] }];
    if (backlog > 0) {
      const data = join(folder, "full");
      await fill(data, { queues: 1, messages: backlog, bytes });
      const full = parts.use(await MillraceServer.start(data));
      all.push({ name: withBacklog, millrace: full, queues: [await newQueue(full, "work")] });
    }
    if (queues > 1) {
      const many: BenchQueue[] = [];
      while (many.length < queues) many.push(await newQueue(millrace, `work-${many.length}`));
      all.push({ name: overQueues, millrace, queues: many });
    }
    return new ServersUnderTest(all, parts.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
}
