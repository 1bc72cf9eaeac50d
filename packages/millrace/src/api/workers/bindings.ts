// Bindings: from an upload to records, and back to what clients are shown. What Millrace does not have is refused by name.

import { z } from "zod";
import { MillraceError } from "../../core/index.ts";
import type { BindingRecord, CatalogView, Json, VersionRecord } from "../../core/index.ts";
import { limits } from "../../contract/index.ts";
import { fieldProblems, text, wholeNumber } from "../../contract/rest/index.ts";
import type { bindingView, UploadedBinding } from "../../contract/rest/index.ts";

/** Types of Cloudflare that Millrace does not have, and where the Wrangler configuration has them. */
const unsupported: Readonly<Record<string, string>> = {
  ai: "ai",
  analytics_engine: "analytics_engine_datasets",
  assets: "assets",
  browser: "browser",
  d1: "d1_databases",
  dispatch_namespace: "dispatch_namespaces",
  durable_object_namespace: "durable_objects.bindings",
  hyperdrive: "hyperdrive",
  images: "images",
  kv_namespace: "kv_namespaces",
  logfwdr: "logfwdr",
  mtls_certificate: "mtls_certificates",
  pipelines: "pipelines",
  r2_bucket: "r2_buckets",
  ratelimit: "ratelimits",
  secret_key: "secret_key",
  secrets_store_secret: "secrets_store_secrets",
  send_email: "send_email",
  service: "services",
  vectorize: "vectorize",
  vpc_service: "vpc_services",
  worker_loader: "worker_loaders",
  workflow: "workflows",
};

export interface BindingSources {
  readonly view: CatalogView;
  /** The newest version: `inherit` and `keep_bindings` copy from it. */
  readonly previous: VersionRecord | undefined;
  /** Types of which all bindings are kept that the upload does not name. */
  readonly keepTypes: readonly string[];
  /** Names of the uploaded parts, for bindings that are one. */
  readonly partNames: ReadonlySet<string>;
}

/**
 * Throws `BINDING_UNSUPPORTED`, `BINDING_INVALID`, `INHERITED_BINDING_MISSING`, `QUEUE_NOT_FOUND`: for all bindings at once
 * where several have the same fault.
 */
export function readBindings(uploaded: readonly UploadedBinding[], sources: BindingSources): readonly BindingRecord[] {
  requireSupported(uploaded);
  requireUniqueNames(uploaded);
  requireInherited(uploaded, sources.previous);
  const named = new Set(uploaded.map(({ name }) => name));
  const kept = (sources.previous?.bindings ?? []).filter(
    (binding) => sources.keepTypes.includes(binding.type) && !named.has(binding.name),
  );
  return [...uploaded.map((binding) => readBinding(binding, sources)), ...kept];
}

const supportedTypes: ReadonlySet<string> = new Set([
  "queue",
  "plain_text",
  "json",
  "secret_text",
  "inherit",
  "version_metadata",
  "text_blob",
  "data_blob",
  "wasm_module",
]);

function requireSupported(uploaded: readonly UploadedBinding[]): void {
  const refused = uploaded
    .filter(({ type }) => !supportedTypes.has(type))
    .map(({ name, type }) => {
      const key = unsupported[type];
      const where = key === undefined ? "" : `, \`${key}\` in the Wrangler configuration`;
      return `Binding ${name.slice(0, 80)} has type ${type.slice(0, 60)}${where}: Millrace does not have it`;
    });
  if (refused.length > 0)
    throw new MillraceError("BINDING_UNSUPPORTED", refused.join("; "), { fields: { each: refused.slice(0, 20) } });
}

function requireUniqueNames(uploaded: readonly UploadedBinding[]): void {
  const names = new Set<string>();
  for (const { name } of uploaded) {
    if (names.has(name)) throw new MillraceError("BINDING_INVALID", `Two bindings are named ${name}`);
    names.add(name);
  }
}

/** The words are read by wrangler, which tells missing secrets by them (rest-api.md section 7.3, its INVALID_INHERIT). */
function requireInherited(uploaded: readonly UploadedBinding[], previous: VersionRecord | undefined): void {
  const missing = uploaded
    .filter(
      ({ name, type }) => type === "inherit" && !(previous?.bindings ?? []).some((binding) => binding.name === name),
    )
    .map(({ name }) => `inherit binding '${name}' is invalid, the version before has no binding of that name`);
  if (missing.length > 0)
    throw new MillraceError("INHERITED_BINDING_MISSING", missing.join("; "), {
      fields: { each: missing.slice(0, 20) },
    });
}

const json = z.unknown().refine((value) => value !== undefined, { error: "expected a JSON value" });
const fields = {
  queue: z.object({ queue_name: text, delivery_delay: wholeNumber(limits.queue.deliveryDelay).nullable().optional() }),
  text: z.object({ text }),
  json: z.object({ json }),
  part: z.object({ part: text }),
};

function readBinding(uploaded: UploadedBinding, { view, previous, partNames }: BindingSources): BindingRecord {
  const { name, type } = uploaded;
  switch (type) {
    case "queue": {
      const { queue_name, delivery_delay } = parse(fields.queue, uploaded);
      const queue = view.queueByName(queue_name);
      if (queue === undefined) {
        throw new MillraceError(
          "QUEUE_NOT_FOUND",
          `Binding ${name} names queue ${queue_name.slice(0, 80)}, which does not exist`,
        );
      }
      return {
        type,
        name,
        queue: { queue_id: queue.id, queue_name: queue.name },
        delivery_delay_s: delivery_delay ?? null,
      };
    }
    case "plain_text":
    case "secret_text":
      return { type, name, text: parse(fields.text, uploaded).text };
    case "json":
      return { type, name, json: parse(fields.json, uploaded).json as Json };
    case "text_blob":
    case "data_blob":
    case "wasm_module": {
      const { part } = parse(fields.part, uploaded);
      if (!partNames.has(part))
        throw new MillraceError(
          "BINDING_INVALID",
          `Binding ${name} names part ${part.slice(0, 80)}, which was not uploaded`,
        );
      return { type, name, part };
    }
    case "version_metadata":
      return { type, name };
    default: {
      const inherited = previous?.bindings.find((binding) => binding.name === name);
      if (inherited === undefined) throw new Error(`binding ${name} of type ${type} came past its checks`);
      return inherited;
    }
  }
}

function parse<T>(schema: z.ZodType<T>, uploaded: UploadedBinding): T {
  const parsed = schema.safeParse(uploaded);
  if (parsed.success) return parsed.data;
  const words = fieldProblems(parsed.error, uploaded).map((problem) => problem.words);
  throw new MillraceError("BINDING_INVALID", `Binding ${uploaded.name} (${uploaded.type}): ${words.join("; ")}`);
}

/** A binding as clients see it: secrets without their text. A queue's name follows its renames. */
export function showBinding(view: CatalogView): (binding: BindingRecord) => z.input<typeof bindingView> {
  return (binding) => {
    const { name, type } = binding;
    switch (type) {
      case "queue":
        return {
          name,
          type,
          queue_name: view.resolve(binding.queue)?.name ?? binding.queue.queue_name,
          ...(binding.delivery_delay_s !== null && { delivery_delay: binding.delivery_delay_s }),
        };
      case "plain_text":
        return { name, type, text: binding.text };
      case "json":
        return { name, type, json: binding.json };
      case "text_blob":
      case "data_blob":
      case "wasm_module":
        return { name, type, part: binding.part };
      case "secret_text":
      case "version_metadata":
        return { name, type };
    }
  };
}
