// A small real HTTP server that the tutorial's Worker calls from its handler: it writes down every batch and answers what
// the handler shall do with it.

import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Signals } from "./deadline.ts";

export interface RecordedMessage {
  readonly id: string;
  readonly attempts: number;
  readonly timestamp: number;
  readonly body: unknown;
}

export interface RecordedBatch {
  readonly queue: string;
  readonly messages: readonly RecordedMessage[];
}

/** What the handler does: `ok`, `throw`, `hang` (never returns), or `retry` with ids. */
export type Instruction =
  | { readonly do: "ok" | "throw" | "hang" }
  | { readonly do: "retry"; readonly ids: readonly string[] };

export class Recorder implements AsyncDisposable {
  readonly batches = new Signals<RecordedBatch>();
  instruct: (batch: RecordedBatch) => Instruction = () => ({ do: "ok" });
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<Recorder> {
    let recorder: Recorder | undefined;
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const batch = {
          ...(JSON.parse(Buffer.concat(chunks).toString()) as Omit<RecordedBatch, "at">),
          at: Date.now(),
        };
        const instruction = recorder?.instruct(batch) ?? { do: "ok" };
        response.setHeader("content-type", "application/json").end(JSON.stringify(instruction));
        recorder?.batches.push(batch);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    recorder = new Recorder(server);
    return recorder;
  }

  /** All messages so far, in the order they came. */
  get messages(): RecordedMessage[] {
    return this.batches.all.flatMap(({ messages }) => messages);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
