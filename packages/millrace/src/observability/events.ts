// The catalogue of events: what the server says about itself, at which level, with which fields, and how people read it.
//
// An emitter calls the logger with the event's name and the fields listed here. The level is the catalogue's, whichever
// method was called, except where it says that the caller knows better. Names of queues, Workers and ids are fields; bodies never are. Spans are in milliseconds (`ms`).
// A *story* event is below the usual level, because a busy server has thousands a second, and shown by `millrace dev`.

import type { LogFields } from "../core/index.ts";
import { plural, span } from "./event-fields.ts";
import type { EventFields } from "./event-fields.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface EventDefinition {
  readonly level: LogLevel | ((fields: EventFields, called: LogLevel) => LogLevel);
  /** Shown by `millrace dev` even when its level is below the log's. */
  readonly story?: true;
  /** Written whatever the log's level: somebody waits for it. */
  readonly always?: true;
  /** Who did it or to whom it happened: the first column. */
  readonly subject: (fields: EventFields) => string;
  /** What happened, in a few words. */
  readonly text: (fields: EventFields) => string;
  /** More lines: stack traces, output of a program. */
  readonly detail?: (fields: EventFields) => string | undefined;
}

const event = (definition: EventDefinition): EventDefinition => definition;
const field = (name: string) => (fields: EventFields) => fields.text(name);
const calledLevel = (_fields: EventFields, called: LogLevel): LogLevel => called;
const server = () => "millrace";
const route = (fields: EventFields) => `${fields.text("queue")} → ${fields.text("worker")}`;
const optional = (name: string) => (fields: EventFields) => (fields.has(name) ? fields.text(name) : undefined);

export const eventCatalogue: Readonly<Record<string, EventDefinition>> = {
  // ── the server ──────────────────────────────────────────────────────────────────────────────────────────────────────
  /** api, console, workers, account_id, pid. In JSON exactly these, nothing else: scripts wait for it. */
  ready: event({
    level: "info",
    always: true,
    subject: server,
    text: () => "ready",
    detail: (f) =>
      [
        `Workers   ${f.text("workers")}`,
        `Console   ${f.text("console")}`,
        `REST API  ${f.text("api")}`,
        `Account   ${f.text("account_id")}`,
      ].join("\n"),
  }),
  /** token, file. The one time a generated token is shown. */
  "token.created": event({
    level: "info",
    always: true,
    subject: server,
    text: (f) => `made an administrator token, shown only now: ${f.text("token")}`,
    detail: (f) => `It is kept in ${f.text("file")}; commands in this folder find it there.`,
  }),
  /** message. A setting that does not do what it seems to. */
  "setting.warning": event({ level: "warn", subject: server, text: field("message") }),
  /** count. The log could not be written for a while, on a full disk for example. */
  "log.interrupted": event({
    level: "warn",
    subject: server,
    text: (f) => `the log could not be written for a while; lost before this: ${f.count("count", "line")}`,
  }),
  /** reason?: `SIGTERM`, … */
  "server.draining": event({
    level: "info",
    subject: server,
    text: (f) => `stopping${f.has("reason") ? ` (${f.text("reason")})` : ""}: batches in flight finish first`,
  }),
  /** ms? */
  "server.stopped": event({ level: "info", subject: server, text: (f) => `stopped${f.took()}` }),
  /** message, stack?, remedy? */
  "server.failed": event({
    level: "error",
    subject: server,
    text: (f) => withRemedy(f, f.text("message")),
    detail: optional("stack"),
  }),

  // ── messages and batches ────────────────────────────────────────────────────────────────────────────────────────────
  /** queue, count, ms: stored and answered. */
  "message.accepted": event({
    level: "debug",
    story: true,
    subject: field("queue"),
    text: (f) => `accepted ${f.count("count", "message")}${f.took()}`,
  }),
  /**
   * queue, worker, count, batch?, first_message_id?, attempts_min?, attempts_max?: handed to the handler; attempts as the
   * handler sees them. The event that ends the delivery names the same batch.
   */
  "batch.delivered": event({
    level: "debug",
    story: true,
    subject: route,
    text: (f) => `batch of ${f.text("count")}${attemptRange(f)}`,
  }),
  /**
   * queue, worker, batch?, outcome, acked, retried, deadLettered, dropped, ms: the handler came to a good end and everything is
   * settled. Where something is retried: retry_in_ms? (the soonest), batch_timeout_ms? (how much longer it may wait for its batch),
   * next_attempt?, max_attempts?
   */
  "batch.completed": event({
    level: "debug",
    story: true,
    subject: route,
    text: (f) => `done: ${settled(f)}${f.took()}`,
  }),
  /** As `batch.completed`, and error: the handler failed, or the batch did not reach it (outcome `notDelivered`). */
  "batch.failed": event({
    level: "warn",
    story: true,
    subject: route,
    text: (f) => {
      const outcome = f.text("outcome");
      // What it threw is told by an event of its own, with the stack.
      const why = outcome === "exception" || !f.has("error") ? "" : ` (${f.text("error")})`;
      return `${outcomes[outcome] ?? `handler failed: ${outcome}`}${why}: ${settled(f)}${f.took()}`;
    },
  }),
  /** As `batch.completed`: the server stops, and the batch went back without costing an attempt. */
  "batch.returned": event({
    level: "info",
    subject: route,
    text: (f) => `${f.count("released", "message")} returned unharmed${f.took()}`,
  }),
  /** queue, deadLetterQueue, attempts, messageId? or count? */
  "message.deadLettered": event({
    level: "warn",
    subject: field("queue"),
    text: (f) =>
      `${several(f)}dead-lettered to ${f.text("deadLetterQueue")} after ${f.count("attempts", "attempt")}${id(f)}`,
  }),
  /** queue, attempts, messageId? or count? */
  "message.dropped": event({
    level: "warn",
    subject: field("queue"),
    text: (f) =>
      `${several(f)}dropped after ${f.count("attempts", "attempt")}, for want of a dead letter queue${id(f)}`,
  }),
  /** queue, count */
  "message.expired": event({
    level: "info",
    subject: field("queue"),
    text: (f) => `${f.count("count", "message")} older than the queue's retention deleted`,
  }),
  /** queue, count: leases that ended without an answer. */
  "lease.expired": event({
    level: "info",
    subject: field("queue"),
    text: (f) => `${f.count("count", "lease")} ended without an answer: delivering again`,
  }),
  /** count, holder: what an earlier server held when it ended came back. */
  "lease.recovered": event({
    level: "info",
    subject: server,
    text: (f) => `${f.count("count", "message")} that an earlier server had in flight came back`,
  }),
  /** queue, error, retry_in_ms */
  "lease.failed": event({
    level: "warn",
    subject: field("queue"),
    text: (f) => `cannot take messages: ${f.text("error")}. Next try in ${span(f.number("retry_in_ms"))}`,
  }),
  /** queue, count, error */
  "settle.failed": event({
    level: "error",
    subject: field("queue"),
    text: (f) =>
      `what became of ${f.count("count", "message")} cannot be stored, they will be delivered again: ${f.text("error")}`,
  }),
  /** queue, error */
  "lease.expiry_failed": event({
    level: "warn",
    subject: field("queue"),
    text: (f) => `cannot take back leases that have ended: ${f.text("error")}. It is tried again`,
  }),
  /** queue, tries, error */
  "settle.retried": event({
    level: "warn",
    subject: field("queue"),
    text: (f) => `cannot store what became of a batch: ${f.text("error")}. It is tried again`,
  }),
  /** queue, error, retry_in_ms */
  "slot.release_failed": event({
    level: "warn",
    subject: field("queue"),
    text: (f) => `cannot free a delivery's place: ${f.text("error")}. Next try in ${span(f.number("retry_in_ms"))}`,
  }),
  /** queue, error */
  "purge.failed": event({
    level: "warn",
    subject: field("queue"),
    text: (f) => `purge ended early: ${f.text("error")}`,
  }),
  /** queue, error */
  "retention.sweep_failed": event({
    level: "warn",
    subject: field("queue"),
    text: (f) => `cannot delete messages past their retention: ${f.text("error")}. It is tried again`,
  }),
  /** error */
  "survey.failed": event({
    level: "warn",
    subject: server,
    text: (f) => `cannot look over the queues: ${f.text("error")}. It is tried again`,
  }),
  /**
   * queue, problem, remedy, imbalance, backlog, held, accepted, acked, deadLettered, expired, purged, dropped: what the queue
   * accepted is not what it holds and what left it. Said again every hour while it lasts.
   */
  "conservation.violated": event({
    level: "error",
    subject: field("queue"),
    text: (f) => `MESSAGES DO NOT ADD UP: ${f.text("problem")}`,
    detail: (f) => `${counts(f)}\n${f.text("remedy")}`,
  }),
  /** error */
  "conservation.check_failed": event({
    level: "warn",
    subject: server,
    text: (f) => `cannot look whether messages add up: ${f.text("error")}. It is tried again`,
  }),
  /** actor, bytes, ms: a backup is ready to be fetched. */
  "backup.made": event({
    level: "info",
    subject: server,
    text: (f) => `backup of ${f.text("bytes")} bytes made for ${f.text("actor")}${f.took()}`,
  }),
  /** file, error */
  "backup.delete_failed": event({
    level: "warn",
    subject: server,
    text: (f) => `cannot delete ${f.text("file")}: ${f.text("error")}. The next start of a server does`,
  }),
  /** actor, error */
  "backup.failed": event({ level: "warn", subject: server, text: (f) => `backup failed: ${f.text("error")}` }),
  /** rows, revisions, message, file: the disk has lost what had been confirmed; the file keeps the words for `millrace doctor`. */
  "storage.lost": event({ level: "error", subject: server, text: field("message") }),
  /** message, file: the database was damaged, and a new one was made of what could be read; the file keeps the words. */
  "storage.damaged": event({ level: "error", subject: server, text: field("message") }),
  /** queue, count, message, file: messages on disk are not what was stored, and are given to nobody; the file keeps the words. */
  "message.damaged": event({ level: "error", subject: field("queue"), text: field("message") }),
  /** error: deleting what is done with, or a checkpoint, failed. Nobody waits for it. */
  "storage.tidy_up_failed": event({
    level: "warn",
    subject: server,
    text: (f) => `cannot tidy up the data: ${f.text("error")}. It is tried again`,
  }),
  /** code, error: the store gave up; what was not answered may or may not be stored. */
  "storage.failed": event({ level: "error", subject: server, text: (f) => `the store failed: ${f.text("error")}` }),
  /** error: a defect met while a Worker sent. */
  "binding.failed": event({
    level: "error",
    subject: server,
    text: (f) => `a send from a Worker failed by a defect of Millrace: ${f.text("error")}`,
  }),
  /** pid: a process of a server that was killed, ended now. */
  "worker.leftover": event({
    level: "warn",
    subject: server,
    text: (f) => `ending process ${f.text("pid")}, left over from a server that was killed`,
  }),

  // ── queues and consumers ────────────────────────────────────────────────────────────────────────────────────────────
  /** queue, reason? */
  "queue.created": event({
    level: "info",
    subject: field("queue"),
    text: (f) => `created${f.has("reason") ? ` (${f.text("reason")})` : ""}`,
  }),
  /** queue */
  "queue.updated": event({ level: "info", subject: field("queue"), text: () => "settings changed" }),
  /** queue, reason */
  "queue.restored": event({ level: "warn", subject: field("queue"), text: (f) => `made again: ${f.text("reason")}` }),
  /** queue */
  "queue.deleted": event({ level: "info", subject: field("queue"), text: () => "deleted" }),
  /** queue */
  "queue.paused": event({ level: "info", subject: field("queue"), text: () => "deliveries paused" }),
  /** queue */
  "queue.resumed": event({ level: "info", subject: field("queue"), text: () => "deliveries resumed" }),
  /** queue, actor */
  "queue.exported": event({
    level: "info",
    subject: field("queue"),
    text: (f) => `${f.text("actor")} began an export of its messages`,
  }),
  /** queue, actor */
  "queue.imported": event({
    level: "info",
    subject: field("queue"),
    text: (f) => `${f.text("actor")} began an import of messages`,
  }),
  /** queue, count */
  "queue.purged": event({
    level: "info",
    subject: field("queue"),
    text: (f) => `purged ${f.count("count", "message")}`,
  }),
  /** queue, worker? (absent: pull) */
  "consumer.attached": event({
    level: "info",
    subject: field("queue"),
    text: (f) => `consumer attached: ${f.has("worker") ? f.text("worker") : "pull over HTTP"}`,
  }),
  /** queue, worker? */
  "consumer.removed": event({ level: "info", subject: field("queue"), text: () => "consumer removed" }),

  // ── Workers ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  /** worker, version?, ms? */
  "deploy.done": event({
    level: "info",
    subject: field("worker"),
    text: (f) => `deployed${f.has("version") ? ` version ${f.text("version")}` : ""}${f.took()}`,
  }),
  /** worker, message */
  "deploy.refused": event({
    level: "warn",
    subject: field("worker"),
    text: (f) => `deploy refused: ${f.text("message")}`,
  }),
  /** worker */
  "worker.deleted": event({ level: "info", subject: field("worker"), text: () => "deleted" }),
  /** worker, pid? */
  "worker.started": event({ level: "debug", subject: field("worker"), text: () => "process started" }),
  /** worker, pid?, ms? */
  "worker.ready": event({ level: "debug", subject: field("worker"), text: (f) => `running${f.took()}` }),
  /** worker, code?, signal?, expected?: its process ended. */
  "worker.exited": event({
    level: (f) => (f.text("expected") === "true" ? "debug" : "warn"),
    subject: field("worker"),
    text: (f) => `process ended${exitReason(f)}`,
  }),
  /** worker, message: its process does not start. */
  "worker.startFailed": event({
    level: "error",
    subject: field("worker"),
    text: (f) => `does not start: ${f.text("message")}`,
  }),
  /** worker, message: something about its compatibility date or flags. */
  "worker.compatibility": event({ level: "warn", subject: field("worker"), text: field("message") }),
  /** worker, message: the runtime's own words. */
  "worker.runtime": event({
    level: calledLevel,
    subject: field("worker"),
    text: (f) => `workerd: ${f.text("message")}`,
  }),
  /** worker, url: it can be reached through a port of its own. */
  "worker.listening": event({
    level: "info",
    subject: field("worker"),
    text: (f) => `listens on its own port: ${f.text("url")}`,
  }),
  /** worker, url, message, retry_in_ms: its own port cannot be opened; it runs, and is reached through the shared port. */
  "worker.listenFailed": event({
    level: "error",
    subject: field("worker"),
    text: (f) =>
      `cannot listen on ${f.text("url")}, only through the port that all Workers share: ${f.text("message")}. ` +
      `Next try in ${span(f.number("retry_in_ms"))}`,
  }),
  /** worker, url: the port was taken from it. */
  "worker.listenEnded": event({
    level: "info",
    subject: field("worker"),
    text: (f) => `listens no longer on ${f.text("url")}`,
  }),
  /** worker, delayMs, restarts? */
  "worker.restarting": event({
    level: "warn",
    subject: field("worker"),
    text: (f) => (f.number("delayMs") > 0 ? `starting again in ${span(f.number("delayMs"))}` : "starting again"),
  }),
  /** worker, silentMs?: alive, but does not answer. */
  "worker.wedged": event({
    level: "error",
    subject: field("worker"),
    text: (f) => `does not answer${f.has("silentMs") ? ` for ${span(f.number("silentMs"))}` : ""}: ending its process`,
  }),
  /** worker, level (`debug`, `info`, `log`, `warn`, `error`), text: a line of the Worker's console. */
  "worker.log": event({
    level: (f) => consoleLevels[f.text("level")] ?? "info",
    story: true,
    subject: field("worker"),
    text: field("text"),
  }),
  /** worker, handler (`fetch`, `queue`, … or `unknown`), message, stack?, remedy?: an exception nobody caught. */
  "worker.error": event({
    level: "error",
    subject: field("worker"),
    text: (f) => {
      const where = f.text("handler") === "unknown" ? "not caught" : `${f.text("handler")}() threw`;
      return withRemedy(f, `${where}: ${f.text("message")}`);
    },
    detail: frames,
  }),
  /** worker, method, path, status, ms: a request of a user of the Worker, answered. */
  "http.request": event({
    level: (f) => (f.number("status") >= 500 ? "warn" : "debug"),
    story: true,
    subject: field("worker"),
    text: (f) => `${f.text("method")} ${f.text("path")} ${f.text("status")}${f.took()}`,
  }),

  // ── the API ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  /** method, path, status, code, error: a request that failed by no fault of its sender. */
  "api.failed": event({
    level: "error",
    subject: () => "api",
    text: (f) => `${f.text("method")} ${f.text("path")} ${f.text("status")}: ${f.message("error")}`,
    detail: (f) => f.stack("error"),
  }),
  /** method, path, status, code, reason: a request refused. */
  "api.refused": event({
    level: "debug",
    subject: () => "api",
    text: (f) => `${f.text("method")} ${f.text("path")} ${f.text("status")}: ${f.text("reason")}`,
  }),

  // ── millrace dev ────────────────────────────────────────────────────────────────────────────────────────────────────
  /** config, reason (`first`, `changed`, `asked`), file? */
  "dev.deploying": event({
    level: "info",
    subject: (f) => (f.has("worker") ? f.text("worker") : "dev"),
    text: (f) =>
      f.has("file") ? `${f.text("file")} changed: deploying ${f.text("config")}` : `deploying ${f.text("config")}`,
  }),
  /** worker, url, ms */
  "dev.deployed": event({
    level: "info",
    subject: field("worker"),
    text: (f) => `answers at ${f.text("url")}${f.took()}`,
  }),
  /** worker, queue, config: the configuration names the queue no more, and wrangler detaches nothing. */
  "dev.detached": event({
    level: "info",
    subject: field("worker"),
    text: (f) => `no longer consumes ${f.text("queue")}: ${f.text("config")} does not name it`,
  }),
  /** config, message, output? */
  "dev.failed": event({
    level: "error",
    subject: () => "dev",
    text: (f) => f.text("message"),
    detail: optional("output"),
  }),
  /** keys */
  "dev.watching": event({
    level: "info",
    subject: () => "dev",
    text: (f) => `watching for changes${f.has("keys") ? `. ${f.text("keys")}` : ""}`,
  }),
};

/** The stack without its first line, where that only repeats the message. */
function frames(f: EventFields): string | undefined {
  if (!f.has("stack")) return undefined;
  const stack = f.text("stack");
  const message = f.text("message");
  return stack.startsWith(`${message}\n`) ? stack.slice(message.length + 1) : stack;
}

/** Outcomes of an invocation in the runtime's words, and in ours. */
const outcomes: Readonly<Record<string, string>> = {
  exception: "handler threw",
  exceededCpu: "handler used too much CPU",
  exceededMemory: "handler used too much memory",
  exceededWallTime: "handler ran too long",
  daemonDown: "its process ended",
  notDelivered: "not delivered",
};

const consoleLevels: Readonly<Record<string, LogLevel>> = {
  debug: "debug",
  trace: "debug",
  log: "info",
  info: "info",
  warn: "warn",
  error: "error",
};

function attemptRange(f: EventFields): string {
  const from = f.number("attempts_min");
  const to = f.number("attempts_max");
  if (to <= 1) return "";
  return from === to ? `, attempt ${to}` : `, attempts ${from} to ${to}`;
}

function settled(f: EventFields): string {
  const parts = [
    [f.number("acked"), "acked"],
    [f.number("retried"), `to retry${retryText(f)}`],
    [f.number("deadLettered"), "dead-lettered"],
    [f.number("dropped"), "dropped"],
    [f.number("released"), "returned unharmed"],
  ] as const;
  const shown = parts.filter(([count]) => count > 0).map(([count, word]) => `${count} ${word}`);
  return shown.length > 0 ? shown.join(", ") : "nothing to settle";
}

/** ` in 5 s to 10 s (attempt 2 of 4)`: its delay, and with the batch timeout on top. */
function retryText(f: EventFields): string {
  const soonest = f.number("retry_in_ms");
  const latest = soonest + f.number("batch_timeout_ms");
  const from = soonest > 0 ? ` in ${span(soonest)}` : " at once";
  const to = soonest > 0 ? ` to ${span(latest)}` : ` or within ${span(latest)}`;
  const wait = latest > soonest ? from + to : from;
  return f.has("next_attempt") ? `${wait} (attempt ${f.text("next_attempt")} of ${f.text("max_attempts")})` : wait;
}

/** Every number of a queue's accounting. */
function counts(f: EventFields): string {
  const names = ["accepted", "backlog", "held", "acked", "deadLettered", "expired", "purged", "dropped", "imbalance"];
  return names.map((name) => `${name} ${f.text(name)}`).join(", ");
}

const several = (f: EventFields): string => (f.number("count") > 1 ? `${plural(f.number("count"), "message")} ` : "");
const id = (f: EventFields): string => (f.has("messageId") ? ` (id ${f.text("messageId")})` : "");

function exitReason(f: EventFields): string {
  if (f.has("signal")) return ` by ${f.text("signal")}`;
  return f.has("code") ? ` with code ${f.text("code")}` : "";
}

const withRemedy = (f: EventFields, text: string): string => (f.has("remedy") ? `${text} ${f.text("remedy")}` : text);

/** What every event has, known or not, resolved against its fields. */
export interface DescribedEvent {
  readonly level: LogLevel;
  readonly definition: EventDefinition | undefined;
}

export function describeEvent(name: string, fields: EventFields, called: LogLevel): DescribedEvent {
  const definition = eventCatalogue[name];
  if (definition === undefined) return { level: called, definition };
  const level = typeof definition.level === "function" ? definition.level(fields, called) : definition.level;
  return { level, definition };
}

/** Field names of an event that say what it is about, so that an unknown one reads well too. */
export const subjectFields = ["worker", "queue", "subject"] as const satisfies readonly (keyof LogFields)[];
