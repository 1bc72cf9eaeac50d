// Connections in front of node:http, and others to the same server that node:http gets at once.
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { ApiHarness } from "./api-harness.ts";
import { Wire } from "./wire.ts";

export interface Opened {
  readonly harness: ApiHarness;
  /** Through the connections in front. */
  readonly wire: Wire;
  /** To the same server, whose node:http gets the connections at once. */
  readonly beside: Wire;
  readonly queue: string;
  /** Requests since it was asked last that node:http saw. */
  readonly seen: () => number;
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}

export async function open(): Promise<Opened> {
  await using parts = new AsyncDisposableStack();
  const harness = parts.use(await ApiHarness.open());
  const wire = await Wire.open(harness);
  const queue = await harness.queue("jobs");
  await harness.must("POST", `${queue}/consumers`, { type: "http_pull" });
  const http = harness.api.server.server;
  let count = 0;
  http.prependListener("request", () => (count += 1));
  const seen = (): number => {
    const since = count;
    count = 0;
    return since;
  };
  const [listener] = createHttpServer().listeners("connection") as ((this: Server, socket: Socket) => void)[];
  const besides = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => listener?.call(http, socket));
  await new Promise<void>((resolve) => besides.listen(0, "127.0.0.1", resolve));
  parts.defer(() => void besides.close());
  const disposal = parts.move();
  return {
    harness,
    wire,
    beside: new Wire((besides.address() as AddressInfo).port),
    queue,
    seen,
    [Symbol.asyncDispose]: async () => await disposal.disposeAsync(),
  };
}

/** Both ends of a new connection. */
export async function connectBoth({
  harness,
  wire,
}: Opened): Promise<{ client: Socket; server: Socket; text: () => string }> {
  const connected = once(harness.api.server.server, "connection");
  const client = await wire.connect();
  const [server] = (await connected) as [Socket];
  let text = "";
  client.on("data", (piece: string) => (text += piece));
  client.on("error", () => undefined);
  return { client, server, text: () => text };
}

/** Whatever it ends with. */
export async function gone(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => socket.once("close", () => resolve()));
}

export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await setImmediate();
}

/** Requests that were answered well. */
export const countIn = (text: string): number => text.match(/HTTP\/1\.1 200 /g)?.length ?? 0;

/** Sends stay under way until `go` is called. */
export function holdSends({ engine }: ApiHarness): { readonly begun: Promise<void>; readonly go: () => void } {
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { promise: going, resolve: go } = Promise.withResolvers<void>();
  const send = engine.send.bind(engine);
  engine.send = async (...call) => {
    begin();
    await going;
    return await send(...call);
  };
  return { begun, go };
}
