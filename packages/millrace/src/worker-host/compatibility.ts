// Which compatibility dates and flags a Worker may ask for.

import { MillraceError } from "../core/index.ts";
import type { VersionRecord } from "../core/index.ts";

export interface Compatibility {
  readonly date: string;
  readonly flags: readonly string[];
  /** What was not done as asked. */
  readonly warning: string | undefined;
}

/** Refused by name, before the runtime is asked: they open the runtime's own doors. Every other experimental flag the trial start refuses. */
const refused: ReadonlySet<string> = new Set([
  "experimental",
  "service_binding_extra_handlers",
  "allow_insecure_inefficient_logged_eval",
  "unsafe_module",
  "rtti_api",
]);

/**
 * A date newer than this workerd knows is lowered to the newest it does, with a warning: a project made today asks for today,
 * and a pinned runtime is always some weeks old. Throws `WORKER_INVALID` for what cannot be granted.
 */
export function grantCompatibility(version: VersionRecord, newest: string): Compatibility {
  const asked = version.compatibility_date;
  if (!/^\d{4}-\d{2}-\d{2}$/.test(asked)) {
    throw new MillraceError(
      "WORKER_INVALID",
      `The compatibility date ${JSON.stringify(asked.slice(0, 40))} is not of the form 2026-01-31`,
    );
  }
  for (const flag of version.compatibility_flags) {
    if (refused.has(flag)) {
      throw new MillraceError(
        "WORKER_INVALID",
        `The compatibility flag ${flag} is experimental and not offered here; remove it`,
      );
    }
  }
  if (asked <= newest) return { date: asked, flags: version.compatibility_flags, warning: undefined };
  return {
    date: newest,
    flags: version.compatibility_flags,
    warning: `The compatibility date ${asked} is newer than this runtime; it runs as of ${newest}`,
  };
}
