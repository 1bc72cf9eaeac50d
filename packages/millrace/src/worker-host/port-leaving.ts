// Takes a process off its own port, whose socket another process of the same Worker accepts on by now, so that no client that is
// being answered meets a connection that breaks.
//
// The process is asked to drain: it accepts no connection any more, and closes every one on which it handles no request. Answers are
// held back for a moment before that (leaving-source.ts), so that clients which ask one request after the other are all waiting for
// one by then. They get it afterwards, with the word that the connection ends.
//
// What is left: workerd cannot stop accepting without draining, so a connection accepted at that very moment, on which the client has
// not said anything yet, is closed. Its request reached no handler, and can be sent again.

import { request } from "node:http";
import type { ClientRequest } from "node:http";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** How long answers are held back: longer than a client takes from an answer, or from connecting, to its next request. */
const holdMs = 50;
/** A step that takes longer is left out. */
const stepMs = 1_000;

/** `socket`: of the entrypoint that holds answers back; `undefined`: this Worker's cannot be. Never rejects. */
export async function leavePort(drain: () => void, socket: string | undefined): Promise<void> {
  if (socket === undefined) {
    drain();
    return;
  }
  const hold = await holdAnswers(socket);
  // An idle connection is closed by the drain, which tells when it has begun.
  const idle = connect(socket);
  idle.on("error", () => undefined); // its end is what counts
  const drained = new Promise<void>((resolve) => idle.once("close", () => resolve()));
  await delay(holdMs);
  drain();
  await within(drained);
  hold.end();
}

async function holdAnswers(socketPath: string): Promise<ClientRequest> {
  const hold = request({ socketPath, path: "/", method: "POST", agent: false });
  const held = new Promise<void>((resolve) => {
    hold.on("error", () => resolve());
    hold.on("response", (response) => {
      response.on("error", () => resolve());
      response.once("data", () => resolve());
      response.once("end", () => resolve());
    });
  });
  hold.flushHeaders();
  await within(held);
  return hold;
}

async function within(step: Promise<unknown>): Promise<void> {
  const enough = new AbortController();
  const deadline = delay(stepMs, undefined, { signal: enough.signal, ref: false }).catch(() => undefined);
  await Promise.race([step, deadline]);
  enough.abort();
}
