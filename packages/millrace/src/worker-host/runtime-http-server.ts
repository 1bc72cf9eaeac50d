// Serves HTTP/1.1 to our own runtimes on a unix socket: one request at a time on each connection, each with its whole body.
//
// Not node:http, which is made for strangers: with it a send of 200 bytes takes 20 µs of this thread's processor time until the store
// thread has it, with this 12, and 4 of those are the system's write.

import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { HttpMessageReader, HttpSyntaxError } from "./http-message-reader.ts";
import type { HttpHead, HttpMessage } from "./http-message-reader.ts";

export interface HttpAnswer {
  readonly status: number;
  /** Printable ASCII, like the headers. */
  readonly reason: string;
  /** Beside the length and the type. */
  readonly headers: Readonly<Record<string, string | number>>;
  /** JSON. */
  readonly body: string;
}

export interface RuntimeHttpHandler {
  /** How many bytes of a body are kept; of a larger one only the length is told. */
  mostBodyBytes(head: HttpHead): number;
  /** Never rejects. */
  answer(request: HttpMessage): Promise<HttpAnswer>;
}

export const noHeaders = {};

const requestLine = /^[A-Z]+ \/[\x21-\x7e]* HTTP\/1\.1$/;

export class RuntimeHttpServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(handler: RuntimeHttpHandler) {
    // Connections belong to our own runtimes and live as long as they do: no timeout of any kind.
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      new Connection(socket, handler).open();
    });
  }

  /** Rejects when the path cannot be listened on. */
  static async open(path: string, handler: RuntimeHttpHandler): Promise<RuntimeHttpServer> {
    const server = new RuntimeHttpServer(handler);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject);
      server.#server.listen(path, resolve);
    });
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

class Connection {
  readonly #socket: Socket;
  readonly #handler: RuntimeHttpHandler;
  readonly #reader: HttpMessageReader;
  readonly #write = (answer: HttpAnswer): void => this.#answered(answer);
  #isAnswering = false;

  constructor(socket: Socket, handler: RuntimeHttpHandler) {
    this.#socket = socket;
    this.#handler = handler;
    this.#reader = new HttpMessageReader((head) => handler.mostBodyBytes(head));
  }

  open(): void {
    this.#socket.on("error", () => this.#socket.destroy());
    this.#socket.on("data", (bytes: Buffer) => {
      this.#reader.push(bytes);
      // The next request waits until this one is answered, and what follows it waits in the kernel.
      if (this.#isAnswering) this.#socket.pause();
      else this.#proceed();
    });
  }

  #proceed(): void {
    let request: HttpMessage | undefined;
    try {
      request = this.#reader.next();
      if (request !== undefined && !requestLine.test(request.head.start)) {
        throw new HttpSyntaxError("The request line is not one of HTTP/1.1");
      }
    } catch (error) {
      if (!(error instanceof HttpSyntaxError)) throw error;
      this.#socket.removeAllListeners("data"); // whatever else comes flows away
      this.#socket.resume();
      this.#socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    if (request === undefined) {
      if (this.#socket.isPaused()) this.#socket.resume();
      return;
    }
    this.#isAnswering = true;
    void this.#handler.answer(request).then(this.#write);
  }

  #answered({ status, reason, headers, body }: HttpAnswer): void {
    this.#isAnswering = false;
    if (!this.#socket.writable) return; // the Worker's process is gone
    let head = `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
    for (const name in headers) head += `${name}: ${headers[name]}\r\n`;
    // One text, one write.
    this.#socket.write(`${head}\r\n${body}`);
    this.#proceed();
  }
}
