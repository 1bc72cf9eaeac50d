// The end of a request before its answer: its client is gone, or the server stops.

import type { IncomingMessage, ServerResponse } from "node:http";

/**
 * Made only for requests that wait: every other one ends before anybody could tell it to. Nobody can tell a client that closed
 * its half from one that is gone before something is written, so either counts as gone.
 */
export function endOf({ socket }: IncomingMessage, response: ServerResponse, stopping: AbortSignal): AbortSignal {
  const end = new AbortController();
  const abort = (): void => end.abort();
  stopping.addEventListener("abort", abort);
  socket.once("end", abort);
  response.once("close", () => {
    stopping.removeEventListener("abort", abort);
    socket.off("end", abort);
    abort();
  });
  if (stopping.aborted || socket.readableEnded) abort();
  return end.signal;
}
