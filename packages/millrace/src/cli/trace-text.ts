// One invocation of a Worker, as the live tail carries it, for people. Source of the shape: rest-api.md section 7.7.

import { z } from "zod";
import { plural } from "../observability/index.ts";
import { showBody } from "./message-body.ts";

const trace = z.looseObject({
  outcome: z.string(),
  eventTimestamp: z.number().nullish(),
  event: z
    .looseObject({
      queue: z.string().optional(),
      batchSize: z.number().optional(),
      cron: z.string().optional(),
      request: z.looseObject({ method: z.string(), url: z.string() }).optional(),
      response: z.looseObject({ status: z.number() }).optional(),
    })
    .nullish(),
  logs: z.array(z.looseObject({ message: z.array(z.unknown()), level: z.string() })).default([]),
  exceptions: z
    .array(z.looseObject({ name: z.string(), message: z.string(), stack: z.string().optional() }))
    .default([]),
});

/** Never throws: what is no trace is shown as it came. */
export function traceText(line: string): string {
  const parsed = trace.safeParse(jsonOf(line));
  if (!parsed.success) return line;
  const { event, logs, exceptions, outcome, eventTimestamp: at } = parsed.data;
  const clock = at === undefined || at === null ? "" : `${new Date(at).toTimeString().slice(0, 8)}  `;
  return [
    `${clock}${eventText(event ?? undefined)}  ${outcome}`,
    ...logs.map(({ level, message }) =>
      indented(`${level === "log" ? "" : `${level}: `}${message.map(showBody).join(" ")}`),
    ),
    ...exceptions.map(({ name, message, stack = "" }) => indented(exceptionText(`${name}: ${message}`, stack))),
  ].join("\n");
}

function eventText(event: z.infer<typeof trace>["event"]): string {
  if (event?.queue !== undefined) return `queue ${event.queue}, ${plural(event.batchSize ?? 0, "message")}`;
  if (event?.request !== undefined) {
    const { pathname } = URL.canParse(event.request.url) ? new URL(event.request.url) : { pathname: event.request.url };
    return `${event.request.method} ${pathname} ${event.response?.status ?? ""}`.trimEnd();
  }
  return event?.cron === undefined ? "invoked" : `cron ${event.cron}`;
}

/** The runtime's stacks come with the message or without it. */
const exceptionText = (head: string, stack: string): string =>
  stack.startsWith(head) ? stack : `${head}\n${stack}`.trimEnd();

const indented = (text: string): string => showBody(text).replaceAll(/^/gm, "          ");

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
