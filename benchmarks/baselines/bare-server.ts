// The least a Node HTTP server can do with a request: read it to its end and answer always the same.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { answerCalls } from "../harness/child-module.ts";

export interface BareServerPlan {
  /** Of a unix socket; otherwise any free port. */
  readonly path?: string | undefined;
  /** Bodies by path of the request; `""`: for all others. */
  readonly answers: Readonly<Record<string, string>>;
}

let server: ReturnType<typeof createServer> | undefined;

answerCalls(
  {
    /** Answers the port. */
    listen: async ({ path, answers }: BareServerPlan): Promise<number> => {
      const bodies = new Map(Object.entries(answers).map(([url, text]) => [url, Buffer.from(text)]));
      const other = bodies.get("") ?? Buffer.alloc(0);
      const opened = createServer({ keepAliveTimeout: 0, noDelay: true }, (request, response) => {
        request.resume();
        request.on("end", () => {
          const body = bodies.get(request.url ?? "") ?? other;
          response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
          response.end(body);
        });
      });
      server = opened;
      await new Promise<void>((resolve) => {
        if (path === undefined) opened.listen(0, "127.0.0.1", resolve);
        else opened.listen(path, resolve);
      });
      const address = opened.address();
      return typeof address === "string" ? 0 : (address as AddressInfo).port;
    },
  },
  () => server?.closeAllConnections(),
);
