// Where a server's log goes. Nothing that befalls it may end the server: a line that cannot be written is an error of that line.

import { fstatSync, writeSync } from "node:fs";
import type { TextOutput } from "./terminal.ts";

/**
 * What writes to a file descriptor of this process whose stream is `stream`. A stream is of no use any more after its first error,
 * so a file is written without it: `write` throws then, and may be called again. Pipes and terminals are written by their stream.
 */
export function logOutput(fd: number, stream: TextOutput): TextOutput {
  return isFile(fd, stream) ? new FileOutput(fd) : stream;
}

function isFile(fd: number, stream: TextOutput): boolean {
  if (stream.isTTY === true) return false;
  try {
    const found = fstatSync(fd);
    return found.isFile() || found.isCharacterDevice();
  } catch {
    return false; // closed
  }
}

class FileOutput implements TextOutput {
  readonly #fd: number;
  /** A line was written in part: the disk was full in its midst. */
  #isMidLine = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(text: string): void {
    const bytes = Buffer.from(this.#isMidLine ? `\n${text}` : text);
    for (let written = 0; written < bytes.length;) {
      written += writeSync(this.#fd, bytes, written);
      this.#isMidLine = written < bytes.length;
    }
  }
}
