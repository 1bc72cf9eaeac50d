// Cuts a stream of bytes into pieces of whole lines, small enough for one request each. Memory stays bounded whatever comes.

import { usageFailure } from "../command-failure.ts";

export interface LineChunk {
  readonly text: string;
  /** Number of its first line; the first of all is 1. */
  readonly firstLine: number;
  readonly lines: number;
}

export interface ChunkLimits {
  readonly lines: number;
  readonly bytes: number;
}

const newline = 0x0a;

/** Throws a usage failure for a line that no message is as long as, and for what is not UTF-8. */
export async function* lineChunks(
  source: AsyncIterable<Uint8Array | string>,
  limits: ChunkLimits,
): AsyncGenerator<LineChunk> {
  let firstLine = 1;
  let lines = 0;
  let bytes = 0;
  let parts: Buffer[] = [];
  /** The beginning of a line whose end has not come. */
  let open: Buffer[] = [];
  let openBytes = 0;

  const take = (): LineChunk => {
    const chunk = { text: decode(Buffer.concat(parts), firstLine, lines), firstLine, lines };
    firstLine += lines;
    lines = 0;
    bytes = 0;
    parts = [];
    return chunk;
  };
  const keepOpen = (part: Buffer): void => {
    openBytes += part.length;
    if (openBytes > limits.bytes) {
      throw usageFailure(
        `line ${firstLine + lines} is longer than any message: ${limits.bytes} bytes are not its end.`,
      );
    }
    open.push(part);
  };

  for await (const piece of source) {
    const buffer = typeof piece === "string" ? Buffer.from(piece) : Buffer.from(piece);
    let from = 0;
    for (let end = buffer.indexOf(newline); end !== -1; end = buffer.indexOf(newline, from)) {
      keepOpen(buffer.subarray(from, end + 1));
      from = end + 1;
      if (lines === limits.lines || (lines > 0 && bytes + openBytes > limits.bytes)) yield take();
      parts.push(...open);
      bytes += openBytes;
      lines += 1;
      open = [];
      openBytes = 0;
    }
    if (from < buffer.length) keepOpen(buffer.subarray(from));
  }
  if (openBytes > 0) {
    if (lines === limits.lines || (lines > 0 && bytes + openBytes > limits.bytes)) yield take();
    parts.push(...open);
    lines += 1;
  }
  if (lines > 0) yield take();
}

const utf8 = new TextDecoder("utf-8", { fatal: true }); // takes a byte order mark away

function decode(bytes: Buffer, firstLine: number, lines: number): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    const where = `lines ${firstLine} to ${firstLine + lines - 1}`;
    throw usageFailure(`${where} are not UTF-8 text. Is it an export? (${String(cause)})`);
  }
}
