// The server's side of a WebSocket that only sends text (RFC 6455). Its own, because wrangler's first frame comes without the
// mask that the standard demands, and the usual servers end the connection over it (rest-api.md section 7.7).

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

const handshakeKey = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** What clients send here is a few bytes; more is not read. */
const maxFrameBytes = 65_536;
/** Unsent bytes beyond which a text is dropped: the client reads too slowly. */
const maxUnsentBytes = 4_194_304;

const opcode = { text: 0x1, close: 0x8, ping: 0x9, pong: 0xa } as const;

export interface TextSocket {
  /** `false`: dropped, for the client does not keep up or is gone. */
  send(text: string): boolean;
  /** Says goodbye. May be called repeatedly. */
  close(code: number, reason: string): void;
}

/** Whether the request asks for a WebSocket that can be had. */
export function asksForWebSocket(request: IncomingMessage): boolean {
  const { upgrade, "sec-websocket-key": key, "sec-websocket-version": version } = request.headers;
  return upgrade?.toLowerCase() === "websocket" && version === "13" && key !== undefined && /^[\w+/]{22}==$/.test(key);
}

/** Completes the handshake. `onClose` is called once, when the connection has ended, whoever ended it. */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  options: { readonly protocol: string | undefined; readonly onClose: () => void },
): TextSocket {
  const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}${handshakeKey}`).digest("base64");
  const protocol = options.protocol === undefined ? "" : `Sec-WebSocket-Protocol: ${options.protocol}\r\n`;
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${protocol}\r\n`,
  );
  let closing = false;
  const close = (code: number, reason: string): void => {
    if (closing) return;
    closing = true;
    const words = Buffer.from(reason).subarray(0, 120);
    const payload = Buffer.alloc(2 + words.length);
    payload.writeUInt16BE(code);
    words.copy(payload, 2);
    socket.end(frame(opcode.close, payload));
  };
  const reader = new FrameReader((kind, payload) => {
    if (kind === opcode.ping) socket.write(frame(opcode.pong, payload));
    else if (kind === opcode.close) close(payload.length >= 2 ? payload.readUInt16BE() : 1000, "");
  });
  socket.on("data", (chunk: Buffer) => {
    if (closing) return;
    if (!reader.read(chunk)) close(1009, "the frame is too large");
  });
  socket.on("error", () => socket.destroy());
  socket.on("end", () => socket.end());
  socket.once("close", options.onClose);
  return {
    send: (text) => {
      if (closing || socket.destroyed || socket.writableLength > maxUnsentBytes) return false;
      socket.write(frame(opcode.text, Buffer.from(text)));
      return true;
    },
    close,
  };
}

function frame(kind: number, payload: Buffer): Buffer {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = 0x80 | kind;
  if (length < 126) {
    head[1] = length;
  } else if (length < 65_536) {
    head[1] = 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, payload]);
}

/** Cuts what arrives into frames, masked or not. */
class FrameReader {
  readonly #onFrame: (kind: number, payload: Buffer) => void;
  #waiting = Buffer.alloc(0);

  constructor(onFrame: (kind: number, payload: Buffer) => void) {
    this.#onFrame = onFrame;
  }

  /** `false` when a frame is larger than any that is expected. */
  read(chunk: Buffer): boolean {
    this.#waiting = Buffer.concat([this.#waiting, chunk]);
    for (;;) {
      const bytes = this.#waiting;
      if (bytes.length < 2) return true;
      const short = bytes.readUInt8(1) & 0x7f;
      if (short === 127) return false;
      const lengthBytes = short === 126 ? 2 : 0;
      if (bytes.length < 2 + lengthBytes) return true;
      const length = short === 126 ? bytes.readUInt16BE(2) : short;
      if (length > maxFrameBytes) return false;
      const masked = (bytes.readUInt8(1) & 0x80) !== 0;
      const start = 2 + lengthBytes + (masked ? 4 : 0);
      if (bytes.length < start + length) return true;
      const payload = Buffer.from(bytes.subarray(start, start + length));
      if (masked) unmask(payload, bytes.subarray(start - 4, start));
      this.#waiting = bytes.subarray(start + length);
      this.#onFrame(bytes.readUInt8(0) & 0x0f, payload);
    }
  }
}

function unmask(payload: Buffer, mask: Buffer): void {
  for (let at = 0; at < payload.length; at += 1) payload[at] = (payload[at] ?? 0) ^ (mask[at % 4] ?? 0);
}
