// Messages over HTTP: push, pull, acknowledge, peek, purge by ref. Source: rest-api.md section 5.

import { Buffer } from "node:buffer";
import type { z } from "zod";
import { epochMs, MillraceError, milliseconds, seconds } from "../core/index.ts";
import type { Clock, EpochMs, MessageId, MessageRef, Milliseconds } from "../core/index.ts";
import type { AckRequest, AckResponse } from "../broker/index.ts";
import { limits } from "../contract/index.ts";
import type { SendItem } from "../contract/index.ts";
import {
  ackBody,
  ackResult,
  bulkPushBody,
  extendBody,
  extendResult,
  isAck,
  isBulkPush,
  isPull,
  isPushItem,
  peekBody,
  peekResult,
  pullBody,
  pullResult,
  purgeByRefBody,
  purgeByRefResult,
  pushBody,
  pushResult,
} from "../contract/rest/index.ts";
import type { PushItem } from "../contract/rest/index.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { pulledText, pushedText, showPeeked } from "./message-view.ts";
import { existingQueueOf } from "./queue-parameter.ts";
import { defineRoute } from "./route.ts";
import type { RawCall, Route } from "./route.ts";

/** A byte of a body takes up to six in JSON (`\u0000`); beside it there are keys and settings. */
const bodyBytes = (bodies: number, count: number): number => bodies * 6 + count * 1_000;
const pushBytes = bodyBytes(limits.message.bytes, 1);
const bulkPushBytes = bodyBytes(limits.batchSend.bytes, limits.batchSend.count.max);

/** Longest wait of a long poll. */
const maxWaitSeconds = 60;

/** The longest time ago of a first try: a day. */
const longestResendMs = 86_400_000;

const tag = "Messages";

export function messageRoutes({ controlPlane, intake, engine, broker, clock }: ApiDependencies): Route[] {
  return [
    defineRoute({
      id: "pushMessage",
      method: "POST",
      path: "/queues/{queue_id}/messages",
      tag,
      summary: "Send a message",
      needs: "queues:write",
      plane: "data",
      maxBytes: pushBytes,
      tooLarge: "MESSAGE_TOO_LARGE",
      body: pushBody,
      isUsual: isPushItem,
      result: pushResult,
      handle: async ({ params, body, principal, header }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const { backlog } = await intake.send(queue.id, [itemOf(body)], {
          source: sourceOf(header),
          firstSentAt: firstSentAtOf(header, clock),
        });
        return { result: pushedText(backlog) };
      },
    }),
    defineRoute({
      id: "pushMessages",
      method: "POST",
      path: "/queues/{queue_id}/messages/batch",
      tag,
      summary: "Send up to 100 messages, all or none",
      needs: "queues:write",
      plane: "data",
      maxBytes: bulkPushBytes,
      tooLarge: "BATCH_TOO_LARGE",
      body: bulkPushBody,
      isUsual: isBulkPush,
      result: pushResult,
      handle: async ({ params, body, principal, header }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const { backlog } = await intake.send(queue.id, body.messages.map(itemOf), {
          batchDelaySeconds: body.delay_seconds,
          source: sourceOf(header),
          firstSentAt: firstSentAtOf(header, clock),
        });
        return { result: pushedText(backlog) };
      },
    }),
    defineRoute({
      id: "pullMessages",
      method: "POST",
      path: "/queues/{queue_id}/messages/pull",
      tag,
      summary: "Lease messages; with the header Millrace-Wait-Seconds, wait for one to arrive",
      needs: "queues:write",
      plane: "pull",
      body: pullBody,
      isUsual: isPull,
      answersBodies: true,
      result: pullResult,
      handle: async ({ params, body, principal, header, goneOrStopping }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const wait = waitOf(header);
        // Asked for in one turn, so that the store does both in one step, in this order.
        const settling = body?.millrace_settle && broker.pulls.ack(queue.id, settlementOf(body.millrace_settle));
        if (wait > 0) await settling; // whoever is refused must not be given messages later
        const pulling = broker.pulls.pull(queue.id, {
          batchSize: body?.batch_size,
          batches: body?.millrace_batches,
          visibility: body?.visibility_timeout_ms === undefined ? undefined : milliseconds(body.visibility_timeout_ms),
          wait,
          signal: wait > 0 ? goneOrStopping() : undefined,
        });
        const [settled, { messages, backlog }] = await Promise.all([settling, pulling]);
        return { result: pulledText(messages, backlog, settled && settledOf(settled)) };
      },
    }),
    defineRoute({
      id: "ackMessages",
      method: "POST",
      path: "/queues/{queue_id}/messages/ack",
      tag,
      summary: "Acknowledge or retry leased messages",
      needs: "queues:write",
      plane: "pull",
      body: ackBody,
      isUsual: isAck,
      result: ackResult,
      handle: async ({ params, body, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        return { result: settledOf(await broker.pulls.ack(queue.id, settlementOf(body))) };
      },
    }),
    defineRoute({
      id: "extendLeases",
      method: "POST",
      path: "/millrace/queues/{queue_id}/messages/extend",
      tag: "Millrace",
      summary: "Move the end of leases to visibility_timeout_ms from now",
      needs: "queues:write",
      plane: "pull",
      body: extendBody,
      result: extendResult,
      handle: async ({ params, body, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const wanted = new Set(body.leases.map(({ lease_id }) => lease_id));
        const { stale } = await broker.pulls.extend(queue.id, [...wanted], milliseconds(body.visibility_timeout_ms));
        const warnings = Object.fromEntries(stale.map((lease) => [lease, "the lease is no longer held"]));
        return { result: { extendedCount: wanted.size - Object.keys(warnings).length, warnings } };
      },
    }),
    defineRoute({
      id: "peekMessages",
      method: "POST",
      path: "/queues/{queue_id}/messages/peek",
      tag,
      summary: "Look at messages without leasing them, oldest first",
      needs: "queues:read",
      plane: "pull",
      body: peekBody,
      answersBodies: true,
      result: peekResult,
      handle: async ({ params, body, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const [consumer] = controlPlane.view.consumersOf(queue.id);
        const peeked = await engine.peek(queue.id, {
          max: body?.batch_size ?? consumer?.batch_size ?? limits.peek.batchSize.default,
          after: body?.after as MessageRef | undefined,
        });
        const messages = peeked.map(showPeeked);
        return { result: { messages } };
      },
    }),
    defineRoute({
      id: "purgeMessages",
      method: "POST",
      path: "/queues/{queue_id}/messages/purge",
      tag,
      summary: "Delete single messages by the refs that peek showed",
      needs: "queues:write",
      plane: "pull",
      body: purgeByRefBody,
      result: purgeByRefResult,
      handle: async ({ params, body, principal }) => {
        const queue = existingQueueOf(controlPlane.view, params, principal);
        const refs = [...new Set(body.refs.map(({ ref }) => ref))] as MessageRef[];
        const { unknown } = await engine.purgeByRef(queue.id, refs);
        const warnings = Object.fromEntries(
          unknown.map((ref) => [ref, "no such message: deleted before, or never here"]),
        );
        return { result: { errors: [], warnings } };
      },
    }),
  ];
}

function settlementOf({ acks = [], retries = [] }: z.output<typeof ackBody>): AckRequest {
  return {
    acks: acks.map(({ lease_id }) => lease_id),
    retries: retries.map(({ lease_id, delay_seconds }) => ({
      lease: lease_id,
      delay: delay_seconds === undefined ? undefined : seconds(delay_seconds),
    })),
  };
}

function settledOf({ acked, retried, warnings }: AckResponse): z.input<typeof ackResult> {
  return { ackCount: acked, retryCount: retried, warnings: Object.fromEntries(warnings) };
}

function itemOf(item: PushItem): SendItem {
  const { contentType, body } = bodyOf(item);
  const messageId = item.millrace_message_id as MessageId | undefined; // of that form: the schema says so
  return { contentType, body, delaySeconds: item.delay_seconds, messageId };
}

function bodyOf(item: PushItem): Pick<SendItem, "contentType" | "body"> {
  const contentType = item.content_type ?? "json";
  if (contentType === "json") return { contentType, body: Buffer.from(JSON.stringify(item.body)) };
  if (contentType !== "text") {
    const shown = JSON.stringify(contentType.slice(0, 40));
    throw new MillraceError(
      "CONTENT_TYPE_INVALID",
      `Message content type ${shown} cannot be sent over REST, which takes json and text`,
    );
  }
  if (typeof item.body !== "string") {
    throw new MillraceError("REQUEST_INVALID", "body: expected a string, for the content type is text");
  }
  // An unpaired surrogate (`\ud800`) has no UTF-8 form and would be stored as something else.
  if (!item.body.isWellFormed()) throw new MillraceError("REQUEST_INVALID", "body: expected well-formed Unicode text");
  return { contentType, body: Buffer.from(item.body) };
}

/** An extension: how long ago a send was tried first whose outcome is not known. Its messages have ids of their own. */
function firstSentAtOf(header: RawCall["header"], clock: Clock): EpochMs | undefined {
  const value = header("millrace-resend");
  if (value === undefined) return undefined;
  const ago = /^\d{1,8}$/.test(value) ? Number(value) : Number.NaN;
  if (ago <= longestResendMs) return epochMs(clock.now() - ago);
  throw new MillraceError(
    "REQUEST_INVALID",
    `Millrace-Resend: expected whole milliseconds since the first try, 0 to ${longestResendMs}, got ${value.slice(0, 40)}`,
  );
}

/** Where a message came from when not from a program; the console says `dash`. */
function sourceOf(header: RawCall["header"]): string | undefined {
  const source = header("millrace-message-source");
  if (source === undefined) return undefined;
  if (/^[\w.-]{1,40}$/.test(source)) return source;
  throw new MillraceError(
    "REQUEST_INVALID",
    "Millrace-Message-Source: expected 1 to 40 letters, digits, dots and dashes",
  );
}

/** An extension: long polling, asked for by a header so that no Cloudflare client meets it. */
function waitOf(header: RawCall["header"]): Milliseconds {
  const value = header("millrace-wait-seconds");
  if (value === undefined) return milliseconds(0);
  const wait = /^\d{1,3}$/.test(value) ? Number(value) : Number.NaN;
  if (wait <= maxWaitSeconds) return seconds(wait);
  throw new MillraceError(
    "REQUEST_INVALID",
    `Millrace-Wait-Seconds: expected a whole number from 0 to ${maxWaitSeconds}, got ${value.slice(0, 40)}`,
  );
}
