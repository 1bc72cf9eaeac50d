// Sources of platform events that a queue can subscribe to on Cloudflare. Source: queues-contract.md section 18.

import { MillraceError } from "../core/index.ts";

interface EventSource {
  /** Fields that say which one of its kind is meant. */
  readonly fields: readonly string[];
  /** Names of its events; `undefined` where they are not published: then only their form is checked. */
  readonly events: readonly string[] | undefined;
}

const eventSources: Readonly<Record<string, EventSource>> = {
  access: { fields: [], events: undefined },
  artifacts: { fields: [], events: undefined },
  "artifacts.repo": { fields: ["namespace", "repo_name"], events: undefined },
  browserRun: { fields: [], events: undefined },
  "email.sending": { fields: ["zone_id", "domain"], events: undefined },
  images: { fields: [], events: undefined },
  kv: { fields: [], events: ["namespace.created", "namespace.deleted"] },
  r2: { fields: [], events: undefined },
  superSlurper: { fields: [], events: undefined },
  vectorize: { fields: [], events: undefined },
  "workers.script": {
    fields: ["script_tag"],
    events: [
      "worker.created",
      "worker.updated",
      "worker.deleted",
      "version.created",
      "version.deleted",
      "deployment.created",
      "deployment.deleted",
    ],
  },
  "workersAi.model": { fields: ["model_name"], events: undefined },
  "workersBuilds.worker": { fields: ["worker_name"], events: undefined },
  "workflows.workflow": { fields: ["workflow_name"], events: undefined },
};

const eventName = /^[A-Za-z]\w*(?:\.[A-Za-z]\w*)*$/;

/** Checks a subscription's source and events. Throws `SUBSCRIPTION_INVALID`. */
export function checkSubscription(source: Readonly<Record<string, unknown>>, events: readonly string[]): void {
  const type = typeof source["type"] === "string" ? source["type"] : "";
  const known = Object.hasOwn(eventSources, type) ? eventSources[type] : undefined;
  if (known === undefined) {
    throw new MillraceError(
      "SUBSCRIPTION_INVALID",
      `source.type: expected one of ${Object.keys(eventSources).join(", ")}`,
    );
  }
  for (const field of known.fields) {
    const value = source[field];
    if (typeof value !== "string" || value === "") {
      throw new MillraceError("SUBSCRIPTION_INVALID", `source.${field}: expected a string, for the source is ${type}`);
    }
  }
  const unknown = events.filter((event) => !(known.events?.includes(event) ?? eventName.test(event)));
  if (unknown.length > 0) {
    const shown = unknown.slice(0, 5).map((event) => event.slice(0, 60));
    throw new MillraceError("SUBSCRIPTION_INVALID", `Unrecognized event types: ${shown.join(", ")}`);
  }
}
