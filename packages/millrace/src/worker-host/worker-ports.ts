// Workers' own ports: which Worker has which listening socket, as the catalog says.
//
// A port is `open` (its socket is there, to be passed to the Worker's process) or has a `problem` (it could not be opened: the Worker
// runs without it, and it is tried again). A command opens the socket first, aside, so that it can say what is wrong; when the
// catalog then names the address, that socket is taken over.

import { isLoopback, MillraceError } from "../core/index.ts";
import type { CatalogView, ListenAddress, Logger, WorkerName } from "../core/index.ts";
import { ListeningSocket } from "./listening-socket.ts";

export interface WorkerPortsOptions {
  /** Whether Workers may listen where other machines reach them. */
  readonly openToOthers: boolean;
  /** The server's own ports, which no Worker gets. */
  readonly serverPorts: readonly number[];
  /** The longest wait between tries; the first ones come sooner. */
  readonly retryMs: number;
  readonly logger: Logger;
  /** The Worker's socket is another one now, or it has none any more. */
  readonly onChange: (worker: WorkerName) => void;
}

/** A port opened for a Worker that the catalog does not name yet. Disposing it closes the port unless the catalog does by then. */
export interface PortReservation extends AsyncDisposable {
  /** With the port that was found, where any was asked for. */
  readonly address: ListenAddress;
}

export interface PortDescription {
  readonly address: ListenAddress;
  readonly url: string;
  readonly isOpen: boolean;
  /** Why it is not open. */
  readonly problem: string | undefined;
}

interface Port {
  readonly worker: WorkerName;
  readonly address: ListenAddress;
  socket: ListeningSocket | undefined;
  problem: string | undefined;
  opening: Promise<void> | undefined;
  timer: NodeJS.Timeout | undefined;
  /** In a row. */
  failures: number;
  /** The log says that it listens. */
  isTold: boolean;
}

interface Reserved {
  readonly worker: WorkerName;
  readonly socket: ListeningSocket;
}

/** The ports that the catalog gives to Workers. */
export function wantedPorts(view: CatalogView): ReadonlyMap<WorkerName, ListenAddress> {
  const wanted = new Map<WorkerName, ListenAddress>();
  for (const { name, listen } of view.all("worker")) if (listen !== undefined) wanted.set(name, listen);
  return wanted;
}

const firstRetryMs = 250;

export class WorkerPorts implements AsyncDisposable {
  readonly #options: WorkerPortsOptions;
  readonly #ports = new Map<WorkerName, Port>();
  readonly #reserved = new Set<Reserved>();
  readonly #closing = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: WorkerPortsOptions) {
    this.#options = options;
  }

  /** Opens an address for a Worker; port 0: any free one. Throws `HOST_NOT_LOOPBACK`, `PORT_UNAVAILABLE`. */
  async reserve(worker: WorkerName, wanted: ListenAddress): Promise<PortReservation> {
    await this.#ports.get(worker)?.opening; // it may be this very address
    const held = this.#ports.get(worker);
    const isHeld = held !== undefined && isSame(held.address, wanted);
    if (isHeld && held.socket?.isOpen === true) return keep(held.address);
    this.#check(wanted);
    const socket = await ListeningSocket.open(wanted);
    if (isHeld && this.#ports.get(worker) === held) {
      // The catalog names it already: nothing will be told of a change.
      this.#opened(held, socket);
      return keep(held.address);
    }
    const reserved = { worker, socket };
    this.#reserved.add(reserved);
    return {
      address: socket.address,
      [Symbol.asyncDispose]: async () => {
        if (this.#reserved.delete(reserved)) await socket[Symbol.asyncDispose]();
      },
    };
  }

  /** Makes the sockets what the catalog says. */
  follow(wanted: ReadonlyMap<WorkerName, ListenAddress>): void {
    for (const port of this.#ports.values()) {
      const address = wanted.get(port.worker);
      if (address !== undefined && isSame(address, port.address)) continue;
      this.#ports.delete(port.worker);
      this.#close(port);
      if (!wanted.has(port.worker)) this.#options.onChange(port.worker);
      if (port.isTold)
        this.#options.logger.info("worker.listenEnded", { worker: port.worker, url: urlOf(port.address) });
    }
    for (const [worker, address] of wanted) {
      if (this.#ports.has(worker)) continue;
      const port: Port = {
        worker,
        address,
        socket: undefined,
        problem: undefined,
        opening: undefined,
        timer: undefined,
        failures: 0,
        isTold: false,
      };
      this.#ports.set(worker, port);
      const reserved = [...this.#reserved].find((one) => one.worker === worker && isSame(one.socket.address, address));
      if (reserved === undefined) {
        this.#open(port);
      } else {
        this.#reserved.delete(reserved);
        this.#opened(port, reserved.socket);
      }
    }
  }

  /** The socket that a process of the Worker shall have, once it is known whether it can be opened. */
  async whenKnown(worker: WorkerName): Promise<ListeningSocket | undefined> {
    await this.#ports.get(worker)?.opening;
    return this.socketOf(worker);
  }

  socketOf(worker: WorkerName): ListeningSocket | undefined {
    const port = this.#ports.get(worker);
    if (port?.socket?.isOpen === false) {
      port.socket = undefined;
      this.#open(port);
    }
    return port?.socket;
  }

  /** A process of the Worker accepts on its socket. */
  served(worker: WorkerName): void {
    const port = this.#ports.get(worker);
    if (port === undefined || port.isTold) return;
    port.isTold = true;
    this.#options.logger.info("worker.listening", { worker, url: urlOf(port.address) });
  }

  describe(worker: WorkerName): PortDescription | undefined {
    const port = this.#ports.get(worker);
    if (port === undefined) return undefined;
    const { address, socket, problem } = port;
    return { address, url: urlOf(address), isOpen: socket?.isOpen === true, problem };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const port of this.#ports.values()) this.#close(port);
    for (const { socket } of this.#reserved) this.#closing.add(socket[Symbol.asyncDispose]());
    await Promise.all(this.#closing);
  }

  #check({ host, port }: ListenAddress): void {
    if (!isLoopback(host) && !this.#options.openToOthers) {
      throw new MillraceError("HOST_NOT_LOOPBACK", `Other machines could reach ${host} without TLS`);
    }
    if (port !== 0 && this.#options.serverPorts.includes(port)) {
      throw new MillraceError(
        "PORT_UNAVAILABLE",
        `Port ${port} is the server's own; a server started with another --port and --worker-port can give it to a Worker`,
      );
    }
  }

  #open(port: Port): void {
    const { worker, address } = port;
    const { retryMs, logger } = this.#options;
    clearTimeout(port.timer);
    port.opening = (async () => {
      try {
        this.#check(address);
        const socket = await ListeningSocket.open(address);
        if (!this.#isClosed && this.#ports.get(worker) === port) this.#opened(port, socket);
        else await socket[Symbol.asyncDispose]();
      } catch (error) {
        if (port.socket?.isOpen === true) return; // a command was first
        // Soon at first: what is left of a server that was killed ends within moments.
        const retryInMs = Math.min(retryMs, firstRetryMs * 2 ** Math.min(port.failures, 20));
        port.failures += 1;
        const problem = error instanceof MillraceError ? error.detail : String(error);
        if (problem !== port.problem) {
          const url = urlOf(address);
          logger.error("worker.listenFailed", { worker, url, message: problem, retry_in_ms: retryInMs });
        }
        port.problem = problem;
        port.timer = setTimeout(() => this.#open(port), retryInMs);
        port.timer.unref();
        if (this.#isClosed || this.#ports.get(worker) !== port) clearTimeout(port.timer);
      } finally {
        port.opening = undefined;
      }
    })();
  }

  #opened(port: Port, socket: ListeningSocket): void {
    clearTimeout(port.timer);
    const before = port.socket;
    port.socket = socket;
    port.problem = undefined;
    port.failures = 0;
    port.isTold = false;
    if (before !== undefined) this.#closeSocket(before);
    this.#options.onChange(port.worker);
  }

  #close(port: Port): void {
    clearTimeout(port.timer);
    if (port.socket !== undefined) this.#closeSocket(port.socket);
    if (port.opening !== undefined) this.#closing.add(port.opening);
  }

  #closeSocket(socket: ListeningSocket): void {
    const closed = socket[Symbol.asyncDispose]().finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
  }
}

const isSame = (one: ListenAddress, other: ListenAddress): boolean =>
  one.port === other.port && one.host === other.host;

const keep = (address: ListenAddress): PortReservation => ({
  address,
  [Symbol.asyncDispose]: async () => await Promise.resolve(),
});

const urlOf = ({ host, port }: ListenAddress): string => `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
