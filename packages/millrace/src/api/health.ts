// For whoever watches the server: is it alive, is it ready. No token, no envelope.

import type { FastifyInstance } from "fastify";

/** What keeps the server from serving, in words; empty: it is ready. */
export type Readiness = () => readonly string[];

export function registerHealth(server: FastifyInstance, notReady: Readiness): void {
  server.get("/healthz", (_request, reply) => reply.send({ status: "alive" }));
  server.get("/readyz", (_request, reply) => {
    const reasons = notReady();
    return reply
      .code(reasons.length === 0 ? 200 : 503)
      .send({ status: reasons.length === 0 ? "ready" : "not ready", reasons });
  });
}
