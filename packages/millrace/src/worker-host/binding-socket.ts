// The server's end of the Workers' queue bindings: HTTP on a private unix socket. The hot path of every send.
//
// Who calls is told by a header that workerd adds and no Worker can set: a random token for each binding of each process.
// Source of requests and answers: runtime-protocol.md section 2.

import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
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
const mostBodyBytes = 1_048_576;
const mostTraceBytes = 4_194_304;
const jsonType = ["content-type", "application/json"];

export class BindingSocket implements AsyncDisposable {
  readonly path: string;
  readonly #dependencies: BindingSocketDependencies;
  readonly #bindings = new Map<string, QueueBinding>();
  readonly #traceSinks = new Map<string, TraceSink>();
  readonly #server: Server;

  private constructor(path: string, dependencies: BindingSocketDependencies) {
    this.path = path;
    this.#dependencies = dependencies;
    // Connections belong to our own runtimes and live as long as they do: no timeout of any kind.
    this.#server = createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0, noDelay: true });
    this.#server.timeout = 0;
    this.#server.on("request", (request, response) => void this.#serve(request, response));
  }

  static async open(path: string, dependencies: BindingSocketDependencies): Promise<BindingSocket> {
    const socket = new BindingSocket(path, dependencies);
    await new Promise<void>((resolve, reject) => {
      socket.#server.once("error", reject);
      socket.#server.listen(path, resolve);
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
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.sendDate = false;
    try {
      const body = await this.#answer(request);
      response.writeHead(200, ["content-length", String(Buffer.byteLength(body)), ...jsonType]);
      response.end(body);
    } catch (error) {
      if (request.destroyed && !request.complete) return; // the Worker's process is gone
      this.#fail(response, error);
    }
  }

  async #answer(request: IncomingMessage): Promise<string> {
    const headers = request.headers;
    const token = headers[bindingHeader];
    const binding = typeof token === "string" ? this.#bindings.get(token) : undefined;
    if (binding === undefined) return await this.#takeTraces(request, token);
    const { intake, catalog, backlogOf } = this.#dependencies;
    const delay = headers["x-msg-delay-secs"] as string | undefined;
    switch (request.url) {
      case "/message": {
        const body = await collect(request, limits.message.bytes, messageTooLarge);
        const item = readMessage(body, headers["x-msg-fmt"] as string | undefined, delay);
        const { backlog } = await intake.send(queueOf(catalog(), binding).id, [item]);
        return `{"metadata":{"metrics":${metrics(backlog)}}}`;
      }
      case "/batch": {
        const body = await collect(request, mostBodyBytes, batchTooLarge);
        const batch = readBatch(body, delay);
        const { batchDelaySeconds } = batch;
        const { backlog } = await intake.send(queueOf(catalog(), binding).id, batch.items, { batchDelaySeconds });
        return `{"metadata":{"metrics":${metrics(backlog)}}}`;
      }
      case "/metrics":
        return metrics(await backlogOf(queueOf(catalog(), binding).id));
      default:
        throw new MillraceError(
          "ROUTE_NOT_FOUND",
          `The queue binding has no ${request.method} ${request.url?.slice(0, 100)}`,
        );
    }
  }

  async #takeTraces(request: IncomingMessage, token: string | string[] | undefined): Promise<string> {
    const sink = typeof token === "string" ? this.#traceSinks.get(token) : undefined;
    if (sink === undefined)
      throw new MillraceError("FORBIDDEN", "The request comes from no queue binding of this server");
    const bytes = await collect(request, mostTraceBytes, batchTooLarge);
    sink(new TextDecoder().decode(bytes));
    return "{}";
  }

  #fail(response: ServerResponse, thrown: unknown): void {
    if (!isMillraceError(thrown)) this.#dependencies.logger.error("binding.failed", { error: thrown });
    const error = isMillraceError(thrown)
      ? thrown
      : new MillraceError("INTERNAL", "The message could not be stored", { cause: thrown });
    const { code, status } = cloudflareError(error.code, "data");
    const cause = headerText(error.detail);
    const reason = documentedReasons[error.code] ?? cause;
    const body = JSON.stringify({ error: error.message });
    response.writeHead(status, reason, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      "CF-Queues-Error-Code": code,
      "CF-Queues-Error-Cause": cause,
    });
    response.end(body);
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

const batchTooLarge = (_bytes: number, request: IncomingMessage): MillraceError => {
  const bodies = Number(request.headers["cf-queue-batch-bytes"]);
  const size = Number.isFinite(bodies) ? `of ${bodies} bytes ` : "";
  return new MillraceError("BATCH_TOO_LARGE", `Batch size ${size}exceeds the limit of ${limits.batchSend.bytes}`);
};

/** The whole body in bytes of its own. What is too large is read to its end and forgotten, so that the answer is seen. */
async function collect(
  request: IncomingMessage,
  most: number,
  tooLarge: (bytes: number, request: IncomingMessage) => MillraceError,
): Promise<Buffer> {
  const announced = Number(request.headers["content-length"] ?? 0);
  const buffer = announced > 0 && announced <= most ? Buffer.allocUnsafeSlow(announced) : undefined;
  const chunks: Buffer[] = [];
  let length = 0;
  return await new Promise((done, failed) => {
    request.on("data", (chunk: Buffer) => {
      if (buffer !== undefined) chunk.copy(buffer, length);
      else if (length + chunk.byteLength <= most) chunks.push(chunk);
      length += chunk.byteLength;
    });
    request.on("end", () => {
      if (length > most) failed(tooLarge(length, request));
      else done(buffer ?? Buffer.concat(chunks, length));
    });
    request.on("error", failed);
    request.on("aborted", () => failed(new MillraceError("REQUEST_MALFORMED", "The request was cut off")));
  });
}

/** Header values and reason phrases: printable ASCII on one line. */
function headerText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]+/g, "?").slice(0, 500);
}
