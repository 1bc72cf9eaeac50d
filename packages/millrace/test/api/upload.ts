// Uploads of Workers as wrangler sends them.

import type { ApiHarness, Reply } from "./api-harness.ts";

export interface UploadedModule {
  readonly content: string | Uint8Array<ArrayBuffer>;
  readonly type: string;
}

export interface Upload {
  readonly source?: string;
  readonly bindings?: readonly object[];
  /** Replaces or adds keys of the metadata. */
  readonly metadata?: object;
  /** Beside the main module, by name. */
  readonly modules?: Readonly<Record<string, UploadedModule>>;
  readonly to?: "deploy" | "version";
}

export const bothHandlers = "export default { async fetch() { return new Response('x') }, async queue(batch) {} }";

/** Uploads a Worker; never throws for a status. */
export async function upload(harness: ApiHarness, name: string, options: Upload = {}): Promise<Reply> {
  const form = new FormData();
  const metadata = {
    main_module: "index.js",
    bindings: options.bindings ?? [],
    compatibility_date: "2026-10-01",
    ...options.metadata,
  };
  form.set("metadata", JSON.stringify(metadata));
  const main = { content: options.source ?? bothHandlers, type: "application/javascript+module" };
  for (const [path, { content, type }] of Object.entries({ "index.js": main, ...options.modules })) {
    form.set(path, new File([content], path, { type }));
  }
  const path = `/workers/scripts/${name}`;
  return options.to === "version"
    ? await sendForm(harness, "POST", `${path}/versions?bindings_inherit=strict`, form)
    : await sendForm(harness, "PUT", `${path}?excludeScript=true&bindings_inherit=strict`, form);
}

export async function sendForm(harness: ApiHarness, method: string, path: string, form: FormData): Promise<Reply> {
  const encoded = new Response(form);
  const headers = { "content-type": encoded.headers.get("content-type") ?? "" };
  return await harness.call(method, path, undefined, { raw: Buffer.from(await encoded.arrayBuffer()), headers });
}

/** Uploads a Worker that must be accepted. */
export async function uploadWorker(harness: ApiHarness, name: string, options: Upload = {}): Promise<Reply> {
  const reply = await upload(harness, name, options);
  if (reply.status !== 200) throw new Error(reply.message);
  return reply;
}
