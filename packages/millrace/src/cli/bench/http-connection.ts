// One kept-alive HTTP connection at the least cost Node allows: a request is bytes, an answer is a status and a body. For loads,
// where what asks shares the machine with what answers.

import { connect } from "node:net";
import type { Socket } from "node:net";

export type HttpAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** `body` is valid during the call only. */
export type OnAnswer = (status: number, body: Buffer) => void;

const readBytes = 65_536;
const headEnd = "\r\n\r\n";

export class HttpConnection {
  readonly #socket: Socket;
  /** What has arrived of an answer that came in several pieces. */
  #pending = Buffer.alloc(0);
  #pendingLength = 0;
  #onAnswer: OnAnswer | undefined;
  #onBroken: (error: Error) => void;

  private constructor(socket: Socket, onBroken: (error: Error) => void) {
    this.#socket = socket;
    this.#onBroken = onBroken;
  }

  /** `onBroken` is told when the connection ends while somebody waits for an answer. */
  static async open(address: HttpAddress, onBroken: (error: Error) => void): Promise<HttpConnection> {
    return await new Promise((resolve, reject) => {
      const buffer = Buffer.allocUnsafeSlow(readBytes);
      const onread = {
        buffer,
        callback: (length: number): boolean => {
          connection.#receive(buffer, length);
          return true;
        },
      };
      const socket = connect({ ...address, onread, noDelay: true });
      const connection = new HttpConnection(socket, onBroken);
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        socket.on("error", (error) => connection.#break(error));
        socket.on("close", () => connection.#break(new Error("the server closed the connection")));
        resolve(connection);
      });
    });
  }

  /** Sends one request. The next only after the answer to this one. */
  exchange(request: Uint8Array, onAnswer: OnAnswer): void {
    if (this.#onAnswer !== undefined) throw new Error("a request is under way on this connection");
    this.#onAnswer = onAnswer;
    this.#socket.write(request);
  }

  /** The same, for code that waits. The body is a copy. */
  async ask(request: Uint8Array): Promise<{ readonly status: number; readonly body: Buffer }> {
    return await new Promise((resolve, reject) => {
      this.#onBroken = reject;
      this.exchange(request, (status, body) => resolve({ status, body: Buffer.from(body) }));
    });
  }

  close(): void {
    this.#onAnswer = undefined;
    this.#socket.destroy();
  }

  #receive(chunk: Buffer, length: number): void {
    if (this.#pendingLength === 0) {
      const used = this.#take(chunk, length);
      if (used === 0) this.#keep(chunk, length);
      return;
    }
    this.#keep(chunk, length);
    if (this.#take(this.#pending, this.#pendingLength) > 0) this.#pendingLength = 0;
  }

  #keep(chunk: Buffer, length: number): void {
    const needed = this.#pendingLength + length;
    if (this.#pending.length < needed) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#pending.length * 2, readBytes));
      this.#pending.copy(larger, 0, 0, this.#pendingLength);
      this.#pending = larger;
    }
    chunk.copy(this.#pending, this.#pendingLength, 0, length);
    this.#pendingLength = needed;
  }

  /** Reads the whole answer that is there; 0 when it is not whole yet. */
  #take(bytes: Buffer, length: number): number {
    const end = bytes.indexOf(headEnd, 0, "latin1");
    if (end < 0 || end > length) return 0;
    const head = bytes.toString("latin1", 0, end);
    const found = /\r\ncontent-length: *(\d+)/i.exec(head);
    if (found === null) {
      this.#break(new Error(`an answer without a content-length: ${head.slice(0, 200)}`));
      return length;
    }
    const bodyStart = end + headEnd.length;
    const total = bodyStart + Number(found[1]);
    if (length < total) return 0;
    const onAnswer = this.#onAnswer;
    this.#onAnswer = undefined;
    // Before the call, which may send the next request.
    if (bytes === this.#pending) this.#pendingLength = 0;
    onAnswer?.(Number(head.slice(9, 12)), bytes.subarray(bodyStart, total));
    return total;
  }

  #break(error: Error): void {
    if (this.#onAnswer === undefined) return;
    this.#onAnswer = undefined;
    this.#socket.destroy();
    this.#onBroken(error);
  }
}
