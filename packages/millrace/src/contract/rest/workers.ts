// Workers over REST: uploads, versions, deployments, settings, secrets. Source: rest-api.md sections 7.2 to 7.7.

import { z } from "zod";
import { limits } from "../limits.ts";
import { anyJson, flag, identifier, jsonObject, text, timestamp } from "./fields.ts";

/** A binding as it is uploaded; which types there are is checked apart, so that each can be refused by name. */
const uploadedBinding = z.looseObject(
  {
    name: text.min(1, { error: "expected a name" }).max(256, { error: "expected at most 256 characters" }),
    type: text,
  },
  { error: "expected an object with name and type" },
);
export type UploadedBinding = z.infer<typeof uploadedBinding>;

const annotations = z.record(z.string(), text.max(1_000, { error: "expected at most 1000 characters" }), {
  error: "expected an object of strings",
});

const date = z.iso.date({ error: "expected a date like 2026-10-01" });

const texts = (max: number) =>
  z
    .array(text.max(256, { error: "expected at most 256 characters" }), { error: "expected an array of strings" })
    .max(max, { error: `expected at most ${max} entries` });

/** The `metadata` part of an upload. Keys not named here are told to the caller. */
export const uploadMetadata = z.looseObject(
  {
    main_module: text.optional(),
    body_part: text.optional(),
    bindings: z
      .array(uploadedBinding, { error: "expected an array of bindings" })
      .max(limits.worker.bindings, { error: `expected at most ${limits.worker.bindings} bindings` })
      .optional(),
    compatibility_date: date.optional(),
    compatibility_flags: texts(100).optional(),
    keep_bindings: texts(100).optional(),
    annotations: annotations.optional(),
    tags: texts(50).nullable().optional(),
    migrations: anyJson.optional(),
    exports: anyJson.optional(),
    containers: z.array(z.unknown(), { error: "expected an array" }).optional(),
    assets: anyJson.optional(),
    keep_assets: flag.optional(),
    tail_consumers: z.array(z.unknown(), { error: "expected an array" }).nullable().optional(),
    streaming_tail_consumers: z.array(z.unknown(), { error: "expected an array" }).nullable().optional(),
    logpush: flag.nullable().optional(),
    observability: jsonObject.nullable().optional(),
    placement: anyJson.optional(),
    limits: jsonObject.nullable().optional(),
    usage_model: text.nullable().optional(),
    cache_options: anyJson.optional(),
    code_update_strategy: anyJson.optional(),
    package_dependencies: anyJson.optional(),
  },
  { error: "expected an object" },
);
export type UploadMetadata = z.infer<typeof uploadMetadata>;

export const bindingView = z.looseObject({ name: z.string(), type: z.string() });

const metadataView = z.object({
  created_on: timestamp,
  modified_on: timestamp,
  source: z.string(),
  author_id: z.string(),
  author_email: z.string(),
  has_preview: z.boolean(),
});

const scriptRuntime = z.object({
  compatibility_date: z.string(),
  compatibility_flags: z.array(z.string()),
  usage_model: z.literal("standard"),
  limits: jsonObject.optional(),
});

export const versionView = z.object({
  id: z.uuid(),
  number: z.int(),
  metadata: metadataView,
  annotations: z.record(z.string(), z.string()),
});

export const versionDetailView = versionView.extend({
  resources: z.object({
    bindings: z.array(bindingView),
    script: z.object({ etag: z.string(), handlers: z.array(z.string()), last_deployed_from: z.string() }),
    script_runtime: scriptRuntime,
  }),
  startup_time_ms: z.int(),
});

/** With details: wrangler's `versions secret list` reads the bindings of listed versions. */
export const versionListView = z.object({ items: z.array(versionDetailView) });

export const deploymentView = z.object({
  id: z.uuid(),
  created_on: timestamp,
  source: z.string(),
  strategy: z.literal("percentage"),
  author_email: z.string(),
  annotations: z.record(z.string(), z.string()),
  versions: z.array(z.object({ version_id: z.uuid(), percentage: z.number() })),
});

export const deploymentListView = z.object({ deployments: z.array(deploymentView) });

export const createDeploymentBody = z.object(
  {
    strategy: z.literal("percentage", { error: 'expected "percentage"' }).optional(),
    versions: z
      .array(
        z.object(
          { version_id: text, percentage: z.number({ error: "expected a number from 0 to 100" }) },
          { error: "expected an object with version_id and percentage" },
        ),
        { error: "expected an array of versions" },
      )
      .min(1, { error: "expected at least one version" })
      .max(100, { error: "expected at most 100 versions" }),
    annotations: annotations.optional(),
  },
  { error: "expected an object with versions" },
);

export const scriptView = z.object({
  id: z.string(),
  tag: identifier,
  tags: z.array(z.string()),
  created_on: timestamp,
  modified_on: timestamp,
  etag: z.string(),
  handlers: z.array(z.string()),
  has_assets: z.literal(false),
  has_modules: z.boolean(),
  compatibility_date: z.string(),
  compatibility_flags: z.array(z.string()),
  usage_model: z.literal("standard"),
  last_deployed_from: z.string(),
  logpush: z.boolean(),
  /** Where the Worker answers; absent when it is not served. */
  url: z.string().optional(),
});

export const uploadedScriptView = scriptView.extend({
  /** The version's id, which wrangler shows as such. */
  deployment_id: z.uuid(),
  startup_time_ms: z.int(),
  entry_point: z.string(),
});

export const serviceView = z.object({
  id: z.string(),
  created_on: timestamp,
  modified_on: timestamp,
  usage_model: z.literal("standard"),
  default_environment: z.object({
    environment: z.literal("production"),
    created_on: timestamp,
    modified_on: timestamp,
    script: scriptView,
  }),
  environments: z.array(
    z.object({ environment: z.literal("production"), created_on: timestamp, modified_on: timestamp }),
  ),
});

export const subdomainView = z.object({ enabled: z.boolean(), previews_enabled: z.boolean() });
export const subdomainBody = z.object(
  { enabled: flag, previews_enabled: flag.nullable().optional() },
  { error: "expected an object with enabled" },
);

export const workerView = z.object({
  id: identifier,
  name: z.string(),
  created_on: timestamp,
  updated_on: timestamp,
  subdomain: subdomainView.extend({ url: z.string().optional() }),
  tags: z.array(z.string()),
});

export const scriptSettingsBody = z.looseObject(
  {
    logpush: flag.nullable().optional(),
    observability: jsonObject.nullable().optional(),
    tail_consumers: z.array(z.unknown(), { error: "expected an array" }).nullable().optional(),
    tags: texts(50).nullable().optional(),
  },
  { error: "expected an object" },
);

export const scriptSettingsView = z.looseObject({
  logpush: z.boolean(),
  tags: z.array(z.string()),
  tail_consumers: z.null(),
});

export const settingsView = scriptSettingsView.extend({
  bindings: z.array(bindingView),
  compatibility_date: z.string(),
  compatibility_flags: z.array(z.string()),
  usage_model: z.literal("standard"),
});

export const schedulesBody = z.array(z.looseObject({ cron: text }, { error: "expected an object with cron" }), {
  error: "expected an array of schedules",
});
export const schedulesView = z.object({ schedules: z.array(z.object({ cron: z.string() })) });

const secretName = text.min(1, { error: "expected a name" }).max(256, { error: "expected at most 256 characters" });
const secretType = z.literal("secret_text", { error: 'expected "secret_text", the only type of secret there is' });

export const secretBody = z.object(
  { name: secretName, text, type: secretType },
  { error: "expected an object with name, text and type" },
);

export const secretsBulkBody = z.object(
  {
    secrets: z.record(
      z.string(),
      z
        .object(
          { name: secretName.optional(), text, type: secretType.optional() },
          { error: "expected an object or null" },
        )
        .nullable(),
      { error: "expected an object of secrets" },
    ),
  },
  { error: "expected an object with secrets" },
);

export const secretView = z.object({ name: z.string(), type: z.literal("secret_text") });

/** Changes to the newest version, as wrangler's `versions secret` sends them. */
export const latestVersionBody = z.object(
  {
    env: z
      .record(z.string(), z.object({ type: secretType, text }, { error: "expected a secret or null" }).nullable(), {
        error: "expected an object of secrets",
      })
      .optional(),
    annotations: z.record(z.string(), text.nullable(), { error: "expected an object of strings" }).optional(),
  },
  { error: "expected an object with env" },
);

export const tailBody = z.object(
  {
    filters: z
      .array(z.unknown(), { error: "expected an array of filters" })
      .max(50, { error: "expected at most 50 filters" })
      .optional(),
  },
  { error: "expected an object with filters" },
);
export const tailView = z.object({ id: identifier, url: z.string(), expires_at: timestamp });
