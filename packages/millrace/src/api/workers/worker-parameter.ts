// The Worker that a path names.

import { MillraceError } from "../../core/index.ts";
import type { CatalogView, WorkerName, WorkerRecord } from "../../core/index.ts";
import { existingWorker } from "../../broker/index.ts";
import { parseWorkerName } from "../../contract/index.ts";

type Params = Readonly<Record<string, string>>;

/** For uploads. Throws `WORKER_NAME_INVALID`. */
export function workerNameOf(params: Params): WorkerName {
  const text = params["script_name"] ?? "";
  const name = parseWorkerName(text);
  if (name === undefined)
    throw new MillraceError("WORKER_NAME_INVALID", `Worker name ${JSON.stringify(text.slice(0, 80))} is not valid`);
  return name;
}

/** Throws `WORKER_NOT_FOUND`. */
export function existingWorkerOf(view: CatalogView, params: Params): WorkerRecord {
  return existingWorker(view, params["script_name"] ?? "");
}
