// The rest of an upload's metadata: what is refused because nothing here could honour it, what is kept and shown again.

import { MillraceError } from "../../core/index.ts";
import type { Json } from "../../core/index.ts";
import { fieldProblems, uploadMetadata } from "../../contract/rest/index.ts";
import type { UploadMetadata } from "../../contract/rest/index.ts";

/** Throws `WORKER_INVALID`, and `UNSUPPORTED` for what nothing here could honour. */
export function parseMetadata(input: unknown): UploadMetadata {
  const parsed = uploadMetadata.safeParse(input);
  if (!parsed.success) {
    const words = fieldProblems(parsed.error, input).map((problem) => `metadata ${problem.words}`);
    throw new MillraceError("WORKER_INVALID", words.join("; "));
  }
  refuseUnsupported(parsed.data);
  return parsed.data;
}

/** Throws `UNSUPPORTED`, naming everything that would silently not work. */
function refuseUnsupported(metadata: UploadMetadata): void {
  const refused: string[] = [];
  if (isSet(metadata.migrations)) refused.push("`migrations` (Durable Objects)");
  if (isSet(metadata.exports)) refused.push("`exports` (Durable Objects)");
  if (isSet(metadata.assets) || metadata.keep_assets === true) refused.push("`assets` (static files)");
  if ((metadata.containers ?? []).length > 0) refused.push("`containers`");
  if ((metadata.tail_consumers ?? []).length > 0) refused.push("`tail_consumers`");
  if ((metadata.streaming_tail_consumers ?? []).length > 0) refused.push("`streaming_tail_consumers`");
  if (refused.length === 0) return;
  throw new MillraceError("UNSUPPORTED", `Millrace does not have ${refused.join(", ")}`);
}

function isSet(value: unknown): boolean {
  if (value === undefined || value === null) return false;
  return typeof value !== "object" || Object.keys(value).length > 0;
}

/** Settings of the Worker as a whole (absent ones are switched off by an upload), and those of the version. */
export function settingsOf(metadata: UploadMetadata): {
  readonly settings: { readonly [key: string]: Json };
  readonly kept: { readonly [key: string]: Json };
} {
  const { observability, logpush, limits, placement, cache_options } = metadata;
  return {
    settings: { observability: (observability ?? { enabled: false }) as Json, logpush: logpush ?? false },
    kept: present({ limits, placement, cache_options }),
  };
}

function present(fields: Readonly<Record<string, unknown>>): { readonly [key: string]: Json } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(entries) as { readonly [key: string]: Json };
}

/** What the upload asked for and this server stores without acting on it, in words. */
export function toldBut(metadata: UploadMetadata): readonly string[] {
  const told: string[] = [];
  if (isSet(metadata.limits)) told.push("limits are stored, but this server sets no CPU or subrequest limits");
  if (isSet(metadata.placement)) told.push("placement is stored, but a Worker runs where this server runs");
  if (isSet(metadata.cache_options))
    told.push("cache_options are stored, but nothing is cached in front of a Worker here");
  if (metadata.logpush === true) told.push("logpush is stored, but logs go to this server's own log");
  const known = Object.keys(uploadMetadata.shape);
  for (const key of Object.keys(metadata)) {
    if (!known.includes(key)) told.push(`metadata.${key.slice(0, 60)} is not known here and was ignored`);
  }
  return told.slice(0, 20);
}
