// Millrace as a program uses it that is not a Worker: a server of its own, the client package over loopback.

import { join } from "node:path";
import { consume, createClient } from "../../packages/client/src/index.ts";
import { MillraceServer } from "../harness/server.ts";
import type { Body, Peer } from "./peer.ts";

export const millraceClient: Peer = {
  name: "Millrace, its client",
  durability: "synced before the answer",
  missing: () => undefined,
  start: async (folder) => {
    const server = await MillraceServer.start(join(folder, "data"));
    await server.pullable(await server.createQueue("bench"));
    const queue = createClient(server.clientOptions).queue<Body>("bench");
    return {
      pids: { server: server.pid },
      send: async (body) => void (await queue.send(body)),
      sendMany: async (bodies) => void (await queue.sendBatch(bodies.map((body) => ({ body })))),
      consume: ({ batch, isQuiet }, handle) =>
        Promise.resolve(
          consume(
            queue,
            ({ messages }) => {
              handle(messages.map(({ body }) => body));
            },
            { batchSize: batch, concurrency: isQuiet ? 1 : 8 },
          ),
        ),
      [Symbol.asyncDispose]: async () => await server[Symbol.asyncDispose](),
    };
  },
};
