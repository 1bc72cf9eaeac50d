// Which invocations a tail shows. Source: rest-api.md section 7.7.

import { z } from "zod";
import { text } from "../../contract/rest/index.ts";
import { MillraceError } from "../../core/index.ts";
import type { WorkerTrace } from "../deploy-target.ts";

const texts = z.array(text).max(100);

/** One filter each; a tail shows what passes all of them. */
const filter = z.union([
  z.strictObject({ sampling_rate: z.number().min(0).max(1) }),
  z.strictObject({ outcome: texts }),
  z.strictObject({ method: texts }),
  z.strictObject({ header: z.object({ key: text, query: text.optional() }) }),
  z.strictObject({ client_ip: texts }),
  z.strictObject({ query: text }),
  z.strictObject({ scriptVersion: text }),
]);
type Filter = z.infer<typeof filter>;

/** Throws `REQUEST_INVALID`. `chance` answers a number from 0 to below 1. */
export function tailFilter(filters: readonly unknown[], chance: () => number): (trace: WorkerTrace) => boolean {
  const parsed = filters.map((each, index) => {
    const result = filter.safeParse(each);
    if (result.success) return result.data;
    throw new MillraceError(
      "REQUEST_INVALID",
      `filters[${index}]: expected one of sampling_rate, outcome, method, header, client_ip, query and scriptVersion`,
    );
  });
  return (trace) => parsed.every((each) => passes(each, trace, chance));
}

function passes(each: Filter, trace: WorkerTrace, chance: () => number): boolean {
  if ("sampling_rate" in each) return chance() < each.sampling_rate;
  if ("outcome" in each) return each.outcome.includes(trace.outcome);
  if ("query" in each) return JSON.stringify(trace["logs"] ?? []).includes(each.query);
  if ("scriptVersion" in each) return versionOf(trace) === each.scriptVersion;
  const request = requestOf(trace);
  if (request === undefined) return false;
  if ("method" in each) return each.method.some((method) => method.toUpperCase() === request.method.toUpperCase());
  if ("header" in each) {
    const value = request.headers[each.header.key.toLowerCase()];
    return value !== undefined && (each.header.query === undefined || value.includes(each.header.query));
  }
  const address = request.headers["cf-connecting-ip"];
  return address !== undefined && each.client_ip.includes(address);
}

function requestOf(
  trace: WorkerTrace,
): { readonly method: string; readonly headers: Readonly<Record<string, string>> } | undefined {
  const event = trace["event"];
  if (typeof event !== "object" || event === null || !("request" in event)) return undefined;
  return event.request as { readonly method: string; readonly headers: Readonly<Record<string, string>> };
}

function versionOf(trace: WorkerTrace): unknown {
  const version = trace["scriptVersion"];
  return typeof version === "object" && version !== null && "id" in version ? version.id : version;
}
