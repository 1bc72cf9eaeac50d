// beanstalkd with a log that is synced at every write, spoken to in its own protocol.
// Source: https://github.com/beanstalkd/beanstalkd/blob/master/doc/protocol.txt

import { connect } from "node:net";
import type { Socket } from "node:net";
import { repeatedly } from "./peer.ts";
import type { Body, Peer } from "./peer.ts";
import { findProgram, freePort, startProgram } from "./programs.ts";

const producers = 64;
const consumers = 16;
const reserveSeconds = 1;

export const beanstalkd: Peer = {
  name: "beanstalkd",
  durability: "synced before the answer",
  missing: () => (findProgram("beanstalkd") === undefined ? "benchmarks/peers/install.sh beanstalkd" : undefined),
  start: async (folder) => {
    await using parts = new AsyncDisposableStack();
    const binary = findProgram("beanstalkd");
    if (binary === undefined) throw new Error("beanstalkd is not installed");
    const port = await freePort();
    const args = ["-l", "127.0.0.1", "-p", `${port}`, "-b", folder, "-f", "0"];
    const program = parts.use(await startProgram({ binary, args, port, folder }));
    const open = async (): Promise<Connection> => parts.adopt(await Connection.open(port), (each) => each.close());
    const sending = await Promise.all(Array.from({ length: producers }, open));
    const receiving = await Promise.all(Array.from({ length: consumers }, open));
    let turn = 0;
    const put = async (bodies: readonly Body[]): Promise<void> => {
      const connection = sending[turn++ % sending.length];
      const answers = await Promise.all(
        bodies.map(async (body) => {
          const data = JSON.stringify(body);
          return await connection?.ask(`put 0 0 600 ${Buffer.byteLength(data)}\r\n${data}\r\n`);
        }),
      );
      const refused = answers.find((answer) => !answer?.line.startsWith("INSERTED"));
      if (refused !== undefined) throw new Error(`beanstalkd answered ${refused.line}`);
    };
    const disposal = parts.move();
    return {
      pids: { beanstalkd: program.pid },
      send: async (body) => await put([body]),
      sendMany: put,
      consume: (_how, handle) =>
        Promise.resolve(
          repeatedly(receiving.length, async (place) => {
            const connection = receiving[place];
            const reserved = await connection?.ask(`reserve-with-timeout ${reserveSeconds}\r\n`);
            if (connection === undefined || reserved === undefined) return false;
            if (!reserved.line.startsWith("RESERVED")) return true;
            handle([JSON.parse(reserved.data) as Body]);
            await connection.ask(`delete ${reserved.line.split(" ")[1]}\r\n`);
            return true;
          }),
        ),
      [Symbol.asyncDispose]: async () => await disposal.disposeAsync(),
    };
  },
};

interface Answer {
  readonly line: string;
  readonly data: string;
}

/** Answers come in the order of the commands. */
class Connection {
  readonly #socket: Socket;
  readonly #waiting: ((answer: Answer) => void)[] = [];
  #received = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => this.#receive(text));
  }

  static async open(port: number): Promise<Connection> {
    return await new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true }, () => resolve(new Connection(socket)));
      socket.once("error", reject);
    });
  }

  async ask(command: string): Promise<Answer> {
    return await new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#socket.write(command);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    this.#received += text;
    for (;;) {
      const end = this.#received.indexOf("\r\n");
      if (end < 0) return;
      const line = this.#received.slice(0, end);
      const bytes = line.startsWith("RESERVED") ? Number(line.split(" ")[2]) + 2 : 0;
      if (this.#received.length < end + 2 + bytes) return;
      const data = this.#received.slice(end + 2, end + bytes);
      this.#received = this.#received.slice(end + 2 + bytes);
      this.#waiting.shift()?.({ line, data });
    }
  }
}
