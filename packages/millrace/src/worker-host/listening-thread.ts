// Runs in a thread of its own: opens a listening socket and keeps it open without ever taking a connection from it.
//
// Node accepts on every socket it listens on, in its event loop. This thread's loop never turns again once the socket listens: it
// waits, blocked, from the event that says so until the socket is to be closed. Connections are left to whoever else has the
// descriptor, and wait in the kernel while nobody has.

import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import type { ListeningAnswer, ListeningPlan } from "./listening-socket.ts";

const { host, port, released } = workerData as ListeningPlan;
const answer = (message: ListeningAnswer): void => parentPort?.postMessage(message, []);

// A connection taken after all, by a mistake here, must not hang.
const server = createServer((socket) => socket.destroy());
server.once("error", ({ code, message }: NodeJS.ErrnoException) => answer({ kind: "failed", code, message }));
server.listen({ host, port }, () => {
  // Node has no public way to a socket's descriptor; the number can be checked, and is.
  const { _handle: handle } = server as unknown as { readonly _handle?: { readonly fd?: unknown } };
  const descriptor = handle?.fd;
  if (typeof descriptor === "number" && descriptor > 2) {
    answer({ kind: "listening", descriptor, port: (server.address() as AddressInfo).port });
    Atomics.wait(new Int32Array(released), 0, 0);
  } else {
    answer({ kind: "failed", code: undefined, message: "this version of Node does not tell its descriptor" });
  }
  server.close();
});
