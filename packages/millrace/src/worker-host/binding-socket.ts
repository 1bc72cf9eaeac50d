// The server's end of the Workers' queue bindings: HTTP on a private unix socket. The hot path of every send.
//
// Who calls is told by a header that workerd adds and no Worker can set: a random token for each binding of each process.
// Source of requests and answers: runtime-protocol.md section 2.

import { randomBytes } from "node:crypto";
import { isMillraceError, MillraceError } from "../core/index.ts";
import type {
  Backlog,
  CatalogView,
  ErrorCode,
  Logger,
  QueueId,
  QueueRecord,
  QueueReference,
  WorkerName,
} from "../core/index.ts";
import { cloudflareError, limits } from "../contract/index.ts";
import type { Intake } from "../broker/index.ts";
import { readBatch, readMessage } from "./binding-request.ts";
import type { HttpHead, HttpMessage } from "./http-message-reader.ts";
import { noHeaders, RuntimeHttpServer } from "./runtime-http-server.ts";
import type { HttpAnswer } from "./runtime-http-server.ts";
import { bindingHeader } from "./workerd-config.ts";

export interface QueueBinding {
  readonly worker: WorkerName;
  readonly queue: QueueReference;
}

export interface BindingSocketDependencies {
  readonly intake: Pick<Intake, "send">;
  /** The catalog as it is now. */
  readonly catalog: () => CatalogView;
  readonly backlogOf: (queue: QueueId) => Promise<Backlog>;
  readonly logger: Logger;
}

/** Reports of invocations: the text is a JSON list of traces. */
export type TraceSink = (text: string) => void;

/** Base64 of a legal batch and its frame take less than half; what is larger is refused by its announced size alone. */
const mostBatchBytes = 1_048_576;
const mostTraceBytes = 4_194_304;
const batchStart = "POST /batch ";

export class BindingSocket implements AsyncDisposable {
  readonly path: string;
  readonly #dependencies: BindingSocketDependencies;
  readonly #bindings = new Map<string, QueueBinding>();
  readonly #traceSinks = new Map<string, TraceSink>();
  #server: RuntimeHttpServer | undefined;

  private constructor(path: string, dependencies: BindingSocketDependencies) {
    this.path = path;
    this.#dependencies = dependencies;
  }

  static async open(path: string, dependencies: BindingSocketDependencies): Promise<BindingSocket> {
    const socket = new BindingSocket(path, dependencies);
    socket.#server = await RuntimeHttpServer.open(path, {
      mostBodyBytes: (head) => socket.#mostBodyBytes(head),
      answer: async (request) => await socket.#serve(request),
    });
    return socket;
  }

  /** Admits one binding; answers the token its requests must carry. */
  admit(binding: QueueBinding): string {
    const token = randomBytes(24).toString("base64url");
    this.#bindings.set(token, binding);
    return token;
  }

  /** The same for reports of invocations. */
  admitTraces(sink: TraceSink): string {
    const token = randomBytes(24).toString("base64url");
    this.#traceSinks.set(token, sink);
    return token;
  }

  revoke(token: string): void {
    this.#bindings.delete(token);
    this.#traceSinks.delete(token);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
  }

  #mostBodyBytes({ start, headers }: HttpHead): number {
    const token = headers.get(bindingHeader) ?? "";
    if (!this.#bindings.has(token)) return this.#traceSinks.has(token) ? mostTraceBytes : 0;
    return start.startsWith(batchStart) ? mostBatchBytes : limits.message.bytes;
  }

  async #serve(request: HttpMessage): Promise<HttpAnswer> {
    try {
      return { status: 200, reason: "OK", headers: noHeaders, body: await this.#answer(request) };
    } catch (error) {
      return this.#failure(error);
    }
  }

  async #answer({ head: { start, headers }, body, length }: HttpMessage): Promise<string> {
    const token = headers.get(bindingHeader) ?? "";
    const binding = this.#bindings.get(token);
    if (binding === undefined) return this.#takeTraces(token, body);
    const { intake, catalog, backlogOf } = this.#dependencies;
    const [, path] = start.split(" ", 2);
    switch (path) {
      case "/message": {
        if (body === undefined) throw messageTooLarge(length);
        const item = readMessage(body, headers.get("x-msg-fmt"), headers.get("x-msg-delay-secs"));
        const { backlog } = await intake.send(queueOf(catalog(), binding).id, [item]);
        return `{"metadata":{"metrics":${metrics(backlog)}}}`;
      }
      case "/batch": {
        if (body === undefined) throw batchTooLarge(headers.get("cf-queue-batch-bytes"));
        const { items, batchDelaySeconds } = readBatch(body, headers.get("x-msg-delay-secs"));
        const { backlog } = await intake.send(queueOf(catalog(), binding).id, items, { batchDelaySeconds });
        return `{"metadata":{"metrics":${metrics(backlog)}}}`;
      }
      case "/metrics":
        return metrics(await backlogOf(queueOf(catalog(), binding).id));
      default:
        throw new MillraceError("ROUTE_NOT_FOUND", `The queue binding has no ${start.slice(0, 100)}`);
    }
  }

  #takeTraces(token: string, body: Buffer | undefined): string {
    const sink = this.#traceSinks.get(token);
    if (sink === undefined)
      throw new MillraceError("FORBIDDEN", "The request comes from no queue binding of this server");
    if (body === undefined) throw batchTooLarge(undefined);
    sink(new TextDecoder().decode(body));
    return "{}";
  }

  #failure(thrown: unknown): HttpAnswer {
    if (!isMillraceError(thrown)) this.#dependencies.logger.error("binding.failed", { error: thrown });
    const error = isMillraceError(thrown)
      ? thrown
      : new MillraceError("INTERNAL", "The message could not be stored", { cause: thrown });
    const { code, status } = cloudflareError(error.code, "data");
    const cause = headerText(error.detail);
    return {
      status,
      reason: documentedReasons[error.code] ?? cause,
      headers: { "CF-Queues-Error-Code": code, "CF-Queues-Error-Cause": cause },
      body: JSON.stringify({ error: error.message }),
    };
  }
}

function queueOf(catalog: CatalogView, { queue }: QueueBinding): QueueRecord {
  const record = catalog.resolve(queue);
  if (record === undefined) throw new MillraceError("QUEUE_NOT_FOUND", `Queue ${queue.queue_name} does not exist`);
  return record;
}

/** Workers with an older compatibility date see the reason phrase alone, and for limits of a queue it is documented. */
const documentedReasons: Partial<Record<ErrorCode, string>> = {
  RATE_LIMITED: "Too Many Requests",
  BACKLOG_FULL: "Storage Limit Exceeded",
};

/** 0 means that there is no message. */
function metrics({ count, bytes, oldestSentAt }: Backlog): string {
  return `{"backlogCount":${count},"backlogBytes":${bytes},"oldestMessageTimestamp":${oldestSentAt ?? 0}}`;
}

const messageTooLarge = (bytes: number): MillraceError =>
  new MillraceError(
    "MESSAGE_TOO_LARGE",
    `Message length of ${bytes} bytes exceeds the limit of ${limits.message.bytes}`,
  );

/** `announced`: what the runtime says the bodies take; a hint for people. */
function batchTooLarge(announced: string | undefined): MillraceError {
  const size = announced !== undefined && /^\d{1,15}$/.test(announced) ? `of ${announced} bytes ` : "";
  return new MillraceError("BATCH_TOO_LARGE", `Batch size ${size}exceeds the limit of ${limits.batchSend.bytes}`);
}

/** Header values and reason phrases: printable ASCII on one line. */
function headerText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]+/g, "?").slice(0, 500);
}
