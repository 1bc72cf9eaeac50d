// The modules of an upload: names that stay inside their folder, and kinds by content type. Source: rest-api.md section 7.4.

import { createHash } from "node:crypto";
import { MillraceError } from "../../core/index.ts";
import type { ModuleKind, ModuleRecord } from "../../core/index.ts";
import type { UploadedPart } from "./upload-form.ts";

const kinds: Readonly<Record<string, ModuleKind>> = {
  "application/javascript+module": "esm",
  "text/javascript+module": "esm",
  "application/javascript": "commonjs",
  "text/javascript": "commonjs",
  "application/wasm": "wasm",
  "text/plain": "text",
  "application/octet-stream": "data",
  "application/json": "json",
  "application/source-map": "source-map",
};

const textKinds: ReadonlySet<ModuleKind> = new Set(["esm", "commonjs", "service-worker", "text", "json", "source-map"]);

export interface Modules {
  readonly main: string;
  readonly records: readonly ModuleRecord[];
  /** By module name. */
  readonly bytes: ReadonlyMap<string, Uint8Array>;
}

/**
 * Checks the parts of an upload. `main` names the main module, or the script of the older format that registers event
 * listeners. Throws `WORKER_INVALID`.
 */
export function readModules(
  uploaded: readonly UploadedPart[],
  main: { readonly name: string; readonly format: "modules" | "service-worker" },
): Modules {
  // The main module may also be named by its field: so the API's own documentation has it.
  const byFile = uploaded.some(({ name }) => name === main.name);
  const parts = uploaded.map((part) => (!byFile && part.field === main.name ? { ...part, name: main.name } : part));
  for (const { name } of parts) requireSafeName(name);
  if (!parts.some(({ name }) => name === main.name)) {
    const field = main.format === "modules" ? "main_module" : "body_part";
    throw new MillraceError(
      "WORKER_INVALID",
      `${field} names ${JSON.stringify(main.name.slice(0, 80))}, which is not among the uploaded modules`,
    );
  }
  const records = parts.map((part): ModuleRecord => {
    const isScript = main.format === "service-worker" && part.name === main.name;
    const kind = isScript ? "service-worker" : kindOf(part);
    if (textKinds.has(kind)) requireUtf8(part);
    return {
      name: part.name,
      kind,
      blob: createHash("sha256").update(part.bytes).digest("hex"),
      bytes: part.bytes.byteLength,
    };
  });
  return { main: main.name, records, bytes: new Map(parts.map(({ name, bytes }) => [name, bytes])) };
}

function kindOf({ name, contentType }: UploadedPart): ModuleKind {
  const kind = kinds[contentType];
  if (kind !== undefined) return kind;
  const what = contentType.startsWith("text/x-python")
    ? "is Python, which Millrace does not run"
    : `has content type ${contentType.slice(0, 60)}`;
  throw new MillraceError("WORKER_INVALID", `Module ${name} ${what}; modules are ${Object.keys(kinds).join(", ")}`);
}

/** A name becomes part of a path in the runtime, whose own errors would show where that is (rest-api.md, additions). */
function requireSafeName(name: string): void {
  const path = name.startsWith("./") ? name.slice(2) : name;
  const safe =
    name.length <= 512 &&
    // eslint-disable-next-line no-control-regex -- control characters are what is looked for
    !/[\u0000-\u001f\u007f\\]/.test(path) &&
    path.split("/").every((segment) => segment !== "" && segment !== "." && segment !== "..");
  if (!safe)
    throw new MillraceError(
      "WORKER_INVALID",
      `Module name ${JSON.stringify(name.slice(0, 80))} is not a path inside the Worker`,
    );
}

function requireUtf8({ name, bytes }: UploadedPart): void {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new MillraceError("WORKER_INVALID", `Module ${name} is not UTF-8 text`, { cause: error });
  }
}
