// Where the API listens. `localhost` is every address that it stands for, usually 127.0.0.1 and ::1: the first is the HTTP server's
// own, and connections to the others are given to it. (Fastify would make a whole server for each, without what stands before the
// framework: the fast lane, and refusals in the envelope.)

import { lookup } from "node:dns/promises";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import type { FastifyInstance } from "fastify";

/** What is said of an address that the machine does not have. */
const notHere: ReadonlySet<string> = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT"]);

type AddressesOf = (name: string) => Promise<readonly { readonly address: string }[]>;

export class Listeners implements AsyncDisposable {
  readonly #server: FastifyInstance;
  readonly #addressesOf: AddressesOf;
  readonly #others: Server[] = [];

  constructor(server: FastifyInstance, addressesOf: AddressesOf = async (name) => await lookup(name, { all: true })) {
    this.#server = server;
    this.#addressesOf = addressesOf;
  }

  /**
   * Answers the first address, for example `http://127.0.0.1:8788`. Rejects when one that the machine has cannot be listened on: to
   * some clients the same URL would be another program.
   */
  async open({ host, port }: { readonly host: string; readonly port: number }): Promise<string> {
    if (host !== "localhost") return await this.#server.listen({ host, port });
    const [first = { address: "127.0.0.1" }, ...others] = await this.#addressesOf(host);
    const url = await this.#server.listen({ host: first.address, port });
    const taken = (this.#server.server.address() as AddressInfo).port;
    for (const { address } of others) await this.#listenToo(address, taken);
    return url;
  }

  /** A machine may know a name for an address that it does not have: then there is no listener. */
  async #listenToo(host: string, port: number): Promise<void> {
    // As node:http makes its own.
    const other = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#server.server.emit("connection", socket);
    });
    await new Promise<void>((resolve, reject) => {
      other.once("error", (error: NodeJS.ErrnoException) => {
        if (notHere.has(error.code ?? "")) resolve();
        else reject(error);
      });
      other.listen({ host, port }, () => {
        this.#others.push(other);
        resolve();
      });
    });
  }

  /** Resolves when the connections of the other addresses are closed as well. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closing = this.#others.splice(0).map(async (other) => await new Promise((resolve) => other.close(resolve)));
    await Promise.all(closing);
  }
}
