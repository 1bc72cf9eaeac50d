// The end of a request before its answer: its client is gone, or the server stops.

import type { Socket } from "node:net";

/**
 * Made only for requests that wait: every other one ends before anybody could tell it to. Nobody can tell a client that closed
 * its half from one that is gone before something is written, so either counts as gone. `onceOver` calls when the request is
 * answered, or its connection closed.
 */
export function endOf(socket: Socket, onceOver: (listener: () => void) => void, stopping: AbortSignal): AbortSignal {
  const end = new AbortController();
  const abort = (): void => end.abort();
  stopping.addEventListener("abort", abort);
  socket.once("end", abort);
  onceOver(() => {
    stopping.removeEventListener("abort", abort);
    socket.off("end", abort);
    abort();
  });
  if (stopping.aborted || socket.readableEnded) abort();
  return end.signal;
}
