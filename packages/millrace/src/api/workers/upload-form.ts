// Reads the multipart form of an upload. Its size is bounded by the route.

import { MillraceError } from "../../core/index.ts";
import { limits } from "../../contract/index.ts";
import { parseJsonBody } from "../json-body.ts";
import { parseMultipart } from "./multipart.ts";
import type { FormPart } from "./multipart.ts";

/** A part that carries a module. */
export interface UploadedPart {
  /** The file's name; the field's where there is none. */
  readonly name: string;
  readonly field: string;
  /** Without parameters, lower case. */
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

export interface UploadForm {
  /** The JSON of the `metadata` part (`settings` where that is what the form carries). */
  readonly metadata: unknown;
  readonly parts: readonly UploadedPart[];
}

/** Throws `REQUEST_MALFORMED` and `REQUEST_INVALID`. */
export function readUploadForm(
  bytes: Uint8Array | undefined,
  contentType: string | undefined,
  metadataName: "metadata" | "settings" = "metadata",
): UploadForm {
  const form = parseMultipart(bytes ?? new Uint8Array(), contentType);
  const [metadata, another] = form.filter(({ field }) => field === metadataName);
  if (metadata === undefined) throw new MillraceError("REQUEST_INVALID", `The form has no part named ${metadataName}`);
  if (another !== undefined) throw new MillraceError("REQUEST_INVALID", `The form has two parts named ${metadataName}`);

  const parts = new Map<string, UploadedPart>();
  for (const { field, filename, contentType: type, bytes: content } of form) {
    if (field === metadataName) continue;
    // wrangler gives field and file the same name; the SDK's fields are called `files[…]`.
    const name = filename === undefined || filename === "" || filename === "blob" ? field : filename;
    if (parts.has(name)) throw new MillraceError("REQUEST_INVALID", `The form has two parts named ${shown(name)}`);
    if (parts.size >= limits.worker.modules) {
      throw new MillraceError("REQUEST_INVALID", `The form has more than ${limits.worker.modules} modules`);
    }
    parts.set(name, { name, field, contentType: typeOf(filename, type), bytes: content });
  }
  return { metadata: parseJsonBody(metadata.bytes), parts: [...parts.values()] };
}

/** What is no file is text, and a file without a type is bytes. */
function typeOf(filename: FormPart["filename"], contentType: string): string {
  if (contentType !== "") return contentType;
  return filename === undefined ? "text/plain" : "application/octet-stream";
}

function shown(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}
