// Reads the multipart form of an upload. Its size is bounded by the route; the platform's own parser takes it apart.

import { MillraceError } from "../../core/index.ts";
import { limits } from "../../contract/index.ts";
import { parseJsonBody } from "../json-body.ts";

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
export async function readUploadForm(
  bytes: Uint8Array | undefined,
  contentType: string | undefined,
  metadataName: "metadata" | "settings" = "metadata",
): Promise<UploadForm> {
  const form = await parseForm(bytes, contentType);
  let metadata: unknown;
  let hasMetadata = false;
  const parts = new Map<string, UploadedPart>();
  for (const [field, value] of form) {
    if (field === metadataName) {
      if (hasMetadata) throw new MillraceError("REQUEST_INVALID", `The form has two parts named ${metadataName}`);
      hasMetadata = true;
      metadata = parseJsonBody(await bytesOf(value));
      continue;
    }
    // wrangler gives field and file the same name; the SDK's fields are called `files[…]`.
    const name = typeof value === "string" || value.name === "" || value.name === "blob" ? field : value.name;
    if (parts.has(name)) throw new MillraceError("REQUEST_INVALID", `The form has two parts named ${shown(name)}`);
    if (parts.size >= limits.worker.modules) {
      throw new MillraceError("REQUEST_INVALID", `The form has more than ${limits.worker.modules} modules`);
    }
    const type = typeof value === "string" ? "text/plain" : value.type;
    parts.set(name, {
      name,
      field,
      contentType: (type.split(";", 1)[0] ?? "").trim().toLowerCase(),
      bytes: await bytesOf(value),
    });
  }
  if (!hasMetadata) throw new MillraceError("REQUEST_INVALID", `The form has no part named ${metadataName}`);
  return { metadata, parts: [...parts.values()] };
}

async function parseForm(bytes: Uint8Array | undefined, contentType: string | undefined): Promise<FormData> {
  if (bytes === undefined || contentType === undefined || !/^multipart\/form-data\s*;/i.test(contentType)) {
    throw new MillraceError("REQUEST_MALFORMED", "Expected a multipart/form-data body");
  }
  try {
    const body = bytes as Uint8Array<ArrayBuffer>;
    return await new Response(body, { headers: { "content-type": contentType } }).formData();
  } catch (error) {
    throw new MillraceError("REQUEST_MALFORMED", "The multipart/form-data body could not be read", { cause: error });
  }
}

async function bytesOf(value: string | File): Promise<Uint8Array> {
  return typeof value === "string" ? new TextEncoder().encode(value) : await value.bytes();
}

function shown(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}
