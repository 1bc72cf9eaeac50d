// Requests written byte for byte over a bare socket, and what comes back.

import { connect } from "node:net";
import type { Socket } from "node:net";
import { accountId, adminToken } from "./api-harness.ts";
import type { ApiHarness } from "./api-harness.ts";

export const account = `/client/v4/accounts/${accountId}`;
export const authorization = `Authorization: Bearer ${adminToken}\r\n`;

export interface Exchange {
  readonly statuses: readonly number[];
  /** Bodies' texts, one behind the other. */
  readonly text: string;
}

export class Wire {
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
  }

  static async open(harness: ApiHarness): Promise<Wire> {
    return new Wire(Number(new URL(await harness.api.listen({ host: "127.0.0.1", port: 0 })).port));
  }

  /** A connection on which the test does what it likes. */
  async connect(): Promise<Socket> {
    return await new Promise((resolve, reject) => {
      const socket = connect(this.#port, "127.0.0.1", () => resolve(socket));
      socket.setEncoding("latin1");
      socket.once("error", reject);
    });
  }

  /** Writes the bytes and, unless told otherwise, closes its own half at once; answers what came until the server closed. */
  async exchange(bytes: string, options: { readonly halfClose?: boolean | Promise<unknown> } = {}): Promise<Exchange> {
    const { halfClose = true } = options;
    const text = await new Promise<string>((resolve, reject) => {
      let received = "";
      const socket = connect(this.#port, "127.0.0.1", () => {
        socket.write(bytes, "latin1");
        if (halfClose === true) socket.end();
        else if (halfClose !== false) void halfClose.then(() => socket.end());
      });
      socket.setEncoding("latin1");
      socket.on("data", (chunk: string) => (received += chunk));
      socket.on("error", reject);
      socket.on("close", () => resolve(received));
    });
    return { statuses: [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status)), text };
  }
}

export const post = (path: string, body: string, headers = ""): string =>
  `POST ${account}${path} HTTP/1.1\r\nHost: x\r\n${authorization}${headers}Content-Length: ${body.length}\r\n\r\n${body}`;

export const envelopeIn = ({ text }: Exchange): { success: boolean; errors: { code: number }[] } =>
  JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4)) as { success: boolean; errors: { code: number }[] };
