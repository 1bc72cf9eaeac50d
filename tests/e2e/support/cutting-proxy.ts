// A way to the server that breaks at will: a request gets through, and the connection is cut before its answer comes back.

import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

/** Asked when an answer begins to come: whether it is to be lost. Whatever it does before it says so happens before the cut. */
export type Cuts = () => boolean | Promise<boolean>;

export class CuttingProxy implements AsyncDisposable {
  cuts: Cuts = () => false;
  /** Answers that were lost. */
  lost = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #port: () => number;

  private constructor(port: () => number) {
    this.#port = port;
    this.#server = createServer((client) => this.#carry(client));
  }

  /** `port`: where the server is, asked for each connection. */
  static async start(port: () => number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(port);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #carry(client: Socket): void {
    const server = connect(this.#port(), "127.0.0.1");
    const end = (): void => {
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", end);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        end();
      });
    }
    client.on("data", (data) => server.write(data));
    const answer = async (data: Buffer): Promise<void> => {
      server.pause();
      if (await this.cuts()) {
        this.lost += 1;
        end();
      } else {
        client.write(data);
        server.resume();
      }
    };
    server.on("data", (data) => void answer(data));
  }
}
