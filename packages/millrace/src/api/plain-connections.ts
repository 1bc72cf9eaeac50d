// The door of the fast lane off the connection itself: answers requests in plain form without node:http, whose parser and objects
// cost a push as much as all else that the main thread does for it.
//
// A connection begins here. With the first bytes that are no plain request of the lane (plain-head.ts), or that are not whole in
// time, it becomes node:http's for good, which gets those bytes as if they had just come: so all that is unusual, and everything
// that may be meant to deceive a parser, is judged in one place.
//
// States of a connection: *fresh*, nothing was asked yet; *idle*, all that was asked is answered; *partial*, a request is not whole
// yet; *busy*, answers are awaited, which leave in the order of their requests; *leaving*, it will be node:http's as soon as those are
// out. While it is busy reading goes on up to a limit, so that a client that goes away is noticed.

import { Buffer } from "node:buffer";
import { STATUS_CODES } from "node:http";
import type { Server } from "node:http";
import type { Socket } from "node:net";
import { envelopeHeaders } from "./envelope.ts";
import type { FastLane, LaneClient, LaneRequest } from "./fast-lane.ts";
import { mayBecomePlain, parsePlainHead } from "./plain-head.ts";
import type { Principal } from "./principal.ts";
import { endOf } from "./request-end.ts";

/** Half of what node:http takes; a longer head is judged there. */
const mostHeadBytes = 8_192;
/** Requests of a connection that are under way at once. */
const mostUnderWay = 64;
/** Of a connection that cannot go on; what else comes waits in the kernel. */
const mostWaitingBytes = 65_536;
/** How often connections grow a turn older. */
const turnMs = 10_000;
/** Turns after which what is not whole is node:http's, whose deadlines begin then. */
const patientTurns = 1;

/** Heads of clients that were let in, which repeat them. Never those of strangers. */
const mostKnownHeads = 1_000;
const mostKnownHeadBytes = 2_048;

const headEnd = "\r\n\r\n";
const none = Buffer.alloc(0);

interface KnownHead {
  readonly request: LaneRequest;
  readonly length: number;
}

type ConnectionListener = (this: Server, socket: Socket) => void;

export class PlainConnections {
  readonly lane: FastLane;
  readonly stopping: AbortSignal;
  readonly #server: Server;
  readonly #listeners: readonly ConnectionListener[];
  readonly #connections = new Set<PlainConnection>();
  readonly #known = new Map<string, KnownHead>();
  #timer: NodeJS.Timeout | undefined;

  /** Puts itself before those that listen for the server's connections. */
  constructor(server: Server, lane: FastLane, stopping: AbortSignal) {
    this.#server = server;
    this.lane = lane;
    this.stopping = stopping;
    this.#listeners = server.listeners("connection") as ConnectionListener[];
    server.removeAllListeners("connection");
    server.on("connection", (socket: Socket) => this.#take(socket));
    stopping.addEventListener("abort", () => this.#stop());
  }

  /** How long an idle connection is kept; 0: for ever. */
  get keepAliveMs(): number {
    return this.#server.keepAliveTimeout;
  }

  /** Makes all connections a turn older: those that are idle or not whole for too long leave. */
  age(): void {
    for (const connection of this.#connections) connection.age();
  }

  /** Ends all connections, whatever they wait for. */
  closeAll(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  /** Of a connection that is none of these any more. */
  forget(connection: PlainConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  handOver(socket: Socket): void {
    for (const listener of this.#listeners) listener.call(this.#server, socket);
  }

  /** `undefined`: not plain, or not the lane's. */
  recognise(text: string): KnownHead | undefined {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const head = parsePlainHead(text);
    const request = head && this.lane.recognise(head, head.length);
    return head && request && { request, length: head.length };
  }

  /** For a head that was recognised and let in. */
  keep(text: string, head: KnownHead): void {
    if (text.length > mostKnownHeadBytes || this.#known.has(text)) return;
    if (this.#known.size >= mostKnownHeads) this.#known.clear();
    this.#known.set(text, head);
  }

  #take(socket: Socket): void {
    if (this.stopping.aborted) {
      this.handOver(socket);
      return;
    }
    this.#connections.add(new PlainConnection(socket, this));
    this.#timer ??= setInterval(() => this.age(), turnMs).unref();
  }

  #stop(): void {
    for (const connection of this.#connections) connection.stop();
  }
}

/** A request whose head was let in. */
interface Entered {
  readonly request: LaneRequest;
  readonly principal: Principal;
  /** Bytes of head and body. */
  readonly size: number;
  readonly bodyAt: number;
}

class PlainConnection {
  readonly socket: Socket;
  readonly #door: PlainConnections;
  readonly #exchanges: Exchange[] = [];
  /** Read and not taken yet, in the order in which it came. */
  #pieces: Buffer[] = [];
  #waitingBytes = 0;
  #entered: Entered | undefined;
  /** A head that does not come in two pieces is node:http's. */
  #hasPartOfHead = false;
  #isFresh = true;
  #isLeaving = false;
  #hasEnded = false;
  /** The client does not read its answers as fast as they come. */
  #isFull = false;
  #writesSoon = false;
  /** While requests are being taken, none of their answers is written. */
  #isTaking = false;
  /** Since a request began, or was answered. */
  #turns = 0;

  constructor(socket: Socket, door: PlainConnections) {
    this.socket = socket;
    this.#door = door;
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("drain", this.#onDrain);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  get stopping(): AbortSignal {
    return this.#door.stopping;
  }

  age(): void {
    this.#turns += 1;
    if (this.#exchanges.length > 0 || this.socket.writableLength > 0) return;
    const { keepAliveMs } = this.#door;
    if (this.#isFresh || this.#waitingBytes > 0) {
      if (this.#turns > patientTurns) this.#leave();
    } else if (keepAliveMs > 0 && (this.#turns - 1) * turnMs > keepAliveMs) {
      this.destroy();
    }
  }

  /** The server stops: idle connections end, and those that may be about to ask are told by node:http's side. */
  stop(): void {
    if (this.#exchanges.length > 0 || this.#isFull) return;
    if (this.#isFresh || this.#waitingBytes > 0) this.#leave();
    else this.socket.destroySoon();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Of one of the requests: it has its answer. */
  answered(): void {
    if (this.#writesSoon) return;
    if (this.#exchanges.length === 1 && !this.#isTaking) {
      this.#write();
      return;
    }
    // Others may be answered in the same turn; all of them take one write.
    this.#writesSoon = true;
    process.nextTick(this.#write);
  }

  readonly #onData = (bytes: Buffer): void => {
    // Whoever sends a request byte by byte gets no more time for it.
    if (this.#waitingBytes === 0) this.#turns = 0;
    this.#isFresh = false;
    this.#pieces.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#proceed();
  };

  readonly #onEnd = (): void => {
    this.#hasEnded = true;
    this.#proceed();
  };

  readonly #onDrain = (): void => {
    this.#turns = 0;
    this.#isFull = false;
    this.#proceed();
  };

  readonly #onError = (): void => this.destroy();

  readonly #onClose = (): void => {
    this.#detach();
    for (const exchange of this.#exchanges.splice(0)) exchange.end();
    this.#pieces = [];
  };

  get #isBlocked(): boolean {
    if (this.#isLeaving || this.#isFull || this.#exchanges.length >= mostUnderWay) return true;
    // Dozens of answers with bodies would be gigabytes, of a client that need not read any.
    return this.#entered?.request.route.answersBodies === true && this.#exchanges.some((each) => each.answersBodies);
  }

  /** Takes the requests that are whole, and decides whether to read on. */
  #proceed(): void {
    if (this.socket.destroyed) return;
    this.#isTaking = true;
    while (this.#waitingBytes > 0 && !this.#isBlocked) {
      const taken = this.#takeRequest();
      if (taken === "part") break;
      if (taken === "other") this.#isLeaving = true;
    }
    this.#isTaking = false;
    if (this.#exchanges.length === 0 && !this.#isFull) {
      // What is left when the client has closed its half never becomes whole.
      if (this.#isLeaving || (this.#hasEnded && this.#waitingBytes > 0)) {
        this.#leave();
        return;
      }
      if (this.#hasEnded || (this.stopping.aborted && this.#waitingBytes === 0)) {
        this.socket.destroySoon();
        return;
      }
      if (this.stopping.aborted) {
        this.#leave();
        return;
      }
    }
    if (this.#isBlocked && this.#waitingBytes > mostWaitingBytes) this.socket.pause();
    else if (this.socket.isPaused()) this.socket.resume();
  }

  #takeRequest(): "whole" | "part" | "other" {
    if (this.#entered !== undefined && this.#waitingBytes < this.#entered.size) return "part";
    const bytes = this.#joined();
    const entered = this.#entered ?? this.#enter(bytes);
    if (typeof entered === "string") return entered;
    const { request, principal, size, bodyAt } = entered;
    this.#entered = entered;
    if (bytes.length < size || this.#isBlocked) return "part";
    this.#entered = undefined;
    this.#waitingBytes = bytes.length - size;
    this.#pieces = this.#waitingBytes === 0 ? [] : [bytes.subarray(size)];
    const exchange = new Exchange(this, request.route.answersBodies === true);
    this.#exchanges.push(exchange);
    this.#door.lane.serve(request, principal, bodyAt === size ? undefined : bytes.subarray(bodyAt, size), exchange);
    return "whole";
  }

  #enter(bytes: Buffer): Entered | "part" | "other" {
    const end = bytes.indexOf(headEnd, 0, "latin1");
    if (end < 0) {
      if (this.#hasPartOfHead || bytes.length > mostHeadBytes) return "other";
      this.#hasPartOfHead = true;
      return mayBecomePlain(bytes.toString("latin1"), `POST ${this.#door.lane.start}`) ? "part" : "other";
    }
    this.#hasPartOfHead = false;
    if (end > mostHeadBytes) return "other";
    const text = bytes.toString("latin1", 0, end);
    const head = this.#door.recognise(text);
    if (head === undefined) return "other";
    const principal = this.#door.lane.admit(head.request);
    if (principal === undefined) return "other";
    this.#door.keep(text, head);
    const bodyAt = end + headEnd.length;
    return { request: head.request, principal, bodyAt, size: bodyAt + head.length };
  }

  #joined(): Buffer {
    const [first = none] = this.#pieces;
    if (this.#pieces.length <= 1) return first;
    const joined = Buffer.concat(this.#pieces, this.#waitingBytes);
    this.#pieces = [joined];
    return joined;
  }

  /** Sends the answers that no earlier one is awaited for. */
  readonly #write = (): void => {
    this.#writesSoon = false;
    this.#turns = 0;
    let text = "";
    let isAscii = true;
    let count = 0;
    for (const exchange of this.#exchanges) {
      if (exchange.text === undefined) break;
      count += 1;
      const isLast = this.stopping.aborted && count === this.#exchanges.length && this.#waitingBytes === 0;
      text += answerHead(exchange, this.#door.keepAliveMs, isLast);
      text += exchange.text;
      isAscii &&= exchange.length === exchange.text.length;
    }
    if (count === 0 || !this.socket.writable) return;
    const over = count === 1 ? [this.#exchanges.shift()] : this.#exchanges.splice(0, count);
    // What is ASCII is written faster as what it is.
    this.#isFull = !this.socket.write(text, isAscii ? "latin1" : "utf8");
    for (const exchange of over) exchange?.end();
    this.#proceed();
  };

  /** To node:http, which reads again what came and was not taken. */
  #leave(): void {
    const { socket } = this;
    const rest = this.#joined();
    this.#detach();
    this.#pieces = [];
    if (socket.destroyed) return;
    if (socket.isPaused()) socket.resume();
    this.#door.handOver(socket);
    // Not put back into the stream, which takes nothing back once it has ended.
    if (rest.length > 0) socket.emit("data", rest);
    if (this.#hasEnded) process.nextTick(() => socket.destroyed || socket.emit("end"));
  }

  #detach(): void {
    const { socket } = this;
    socket.off("data", this.#onData);
    socket.off("end", this.#onEnd);
    socket.off("drain", this.#onDrain);
    socket.off("error", this.#onError);
    socket.off("close", this.#onClose);
    this.#door.forget(this);
  }
}

/** A request that was taken, and its answer once there is one. */
class Exchange implements LaneClient {
  status = 200;
  text: string | undefined;
  /** Of the text in UTF-8, in bytes. */
  length = 0;
  headers: Readonly<Record<string, string>> | undefined;
  readonly answersBodies: boolean;
  readonly #connection: PlainConnection;
  #onceOver: (() => void)[] | undefined;

  constructor(connection: PlainConnection, answersBodies: boolean) {
    this.#connection = connection;
    this.answersBodies = answersBodies;
  }

  answer(status: number, text: string, headers?: Readonly<Record<string, string>>): void {
    this.status = status;
    this.text = text;
    this.length = Buffer.byteLength(text);
    this.headers = headers;
    this.#connection.answered();
  }

  goneOrStopping(): AbortSignal {
    const { socket, stopping } = this.#connection;
    this.#onceOver ??= [];
    return endOf(socket, (listener) => this.#onceOver?.push(listener), stopping);
  }

  /** Answered, or nobody is there to be answered. */
  end(): void {
    for (const listener of this.#onceOver ?? []) listener();
  }
}

const usualHead = Object.entries(envelopeHeaders)
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join("");

/** The head that node:http would write. */
function answerHead({ status, length, headers }: Exchange, keepAliveMs: number, isLast: boolean): string {
  let more = "";
  for (const name in headers) more += `${name}: ${headers[name]}\r\n`;
  const start = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "unknown"}\r\n${usualHead}content-length: ${length}\r\n${more}`;
  return `${start}Date: ${date()}\r\n${isLast ? "Connection: close\r\n\r\n" : keepAlive(keepAliveMs)}`;
}

function keepAlive(ms: number): string {
  return ms > 0
    ? `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(ms / 1_000)}\r\n\r\n`
    : "Connection: keep-alive\r\n\r\n";
}

let dateSecond = 0;
let dateText = "";

/** Of this second. */
function date(): string {
  const second = Math.floor(Date.now() / 1_000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(second * 1_000).toUTCString();
  }
  return dateText;
}
