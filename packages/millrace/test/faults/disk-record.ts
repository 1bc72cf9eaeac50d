// The record of everything a program did to its files, as fault-disk.c writes it, and the files as they stood after any part of it.

import { writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { operations } from "./fault-disk.ts";

export interface DiskChange {
  readonly kind: "write" | "sync" | "failedSync" | "truncate" | "unlink";
  /** The file's name. */
  readonly file: string;
  /** Where a write begins; the new length for a truncation. */
  readonly offset: number;
  readonly data: Buffer;
  /** How many steps the program had reported as done. */
  readonly step: number;
}

const headerBytes = 32;

export function readRecord(record: Buffer): DiskChange[] {
  const changes: DiskChange[] = [];
  for (let at = 0; at < record.length;) {
    const operation = record.readUInt32LE(at);
    const pathEnd = at + headerBytes + record.readUInt32LE(at + 4);
    const offset = Number(record.readBigInt64LE(at + 8));
    const end = pathEnd + Number(record.readBigInt64LE(at + 16));
    changes.push({
      kind: kindOf(operation, offset),
      file: basename(record.toString("utf8", at + headerBytes, pathEnd)),
      offset,
      data: record.subarray(pathEnd, end),
      step: Number(record.readBigInt64LE(at + 24)),
    });
    at = end;
  }
  return changes;
}

function kindOf(operation: number, offset: number): DiskChange["kind"] {
  switch (operation) {
    case operations.write:
      return "write";
    case operations.sync:
      return offset < 0 ? "failedSync" : "sync";
    case operations.truncate:
      return "truncate";
    case operations.unlink:
      return "unlink";
    default:
      throw new Error(`the record has an unknown operation ${operation}`);
  }
}

/** Files in memory. */
export class DiskImage {
  readonly #files = new Map<string, Buffer>();

  copy(): DiskImage {
    const copy = new DiskImage();
    for (const [name, content] of this.#files) copy.#files.set(name, Buffer.from(content));
    return copy;
  }

  apply({ kind, file, offset, data }: Pick<DiskChange, "kind" | "file" | "offset" | "data">): void {
    switch (kind) {
      case "write": {
        const content = this.#files.get(file) ?? Buffer.alloc(0);
        const end = offset + data.length;
        // A write that was never done before it leaves zeros.
        const grown = end <= content.length ? content : Buffer.concat([content], end);
        data.copy(grown, offset);
        this.#files.set(file, grown);
        return;
      }
      case "truncate": {
        const content = this.#files.get(file) ?? Buffer.alloc(0);
        const cut = Buffer.alloc(offset);
        content.copy(cut);
        this.#files.set(file, cut);
        return;
      }
      case "unlink":
        this.#files.delete(file);
        return;
      case "sync":
      case "failedSync":
        return;
      default:
        kind satisfies never;
    }
  }

  get(file: string): Buffer | undefined {
    return this.#files.get(file);
  }

  writeTo(folder: string): void {
    for (const [name, content] of this.#files) writeFileSync(join(folder, name), content);
  }
}
