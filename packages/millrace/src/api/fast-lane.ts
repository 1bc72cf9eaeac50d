// Requests that come by the thousand: messages pushed, pulled and acknowledged, in the shape in which every client asks for it. And
// what a client asks before them on the same connection, a queue's id by its name, which would otherwise lead it past the lane.
// They are answered beside the framework, which costs a push more than all the rest of its way through this layer. Whatever is
// unusual about a request (a query, another account, a bad token, a chunked or overlong body, a server that stops) is left to
// the framework with its body unread, so there is one place that knows how to refuse it.
//
// They come in through two doors: off the connection itself (plain-connections.ts), and, when something unusual came before them
// on their connection, as requests of node:http (fast-requests.ts).

import type { Logger } from "../core/index.ts";
import { limits } from "../contract/index.ts";
import { admit, headerOf } from "./admission.ts";
import type { Gate, RequestHead } from "./admission.ts";
import { apiRoot } from "./api-root.ts";
import { envelopeText, refusalOf } from "./envelope.ts";
import { originOf } from "./origin.ts";
import type { Principal } from "./principal.ts";
import type { Answer, Route } from "./route.ts";

export interface LaneOptions extends Gate {
  readonly routes: readonly Route[];
  readonly logger: Logger;
  /** Aborted when the server stops. */
  readonly stopping: AbortSignal;
}

/** A request as far as its head tells: the same head always makes the same. */
export interface LaneRequest {
  readonly route: Route;
  readonly head: RequestHead;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  readonly header: (name: string) => string | undefined;
  readonly contentType: string | undefined;
  readonly origin: string;
}

/** Who waits for the answer. */
export interface LaneClient {
  /** Called once. `headers`: beside the usual ones. */
  answer(status: number, text: string, headers?: Readonly<Record<string, string>>): void;
  /** Made for a request that waits: aborted when its client goes away or the server stops. */
  goneOrStopping(): AbortSignal;
}

const queuePath = "/queues/{queue_id}";
const idLength = 32;
const idPattern = /^[0-9a-f]{32}$/;
const noQuery = {};
/** What needs no decoding. Whether the names are known, and the values good, the route says. */
const plainQuery = /^(?:[a-z]+(?:_[a-z]+)*=[0-9A-Za-z-]+(?:&(?!$)|$))+$/;

export class FastLane {
  /** How the path of every request begins that the lane takes. */
  readonly start: string;
  readonly #options: LaneOptions;
  readonly #byAction = new Map<string, Route>();
  readonly #list: Route | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.start = `${apiRoot}/accounts/${options.accountId}/queues/`;
    this.#list = options.routes.find(({ id }) => id === "listQueues");
    for (const route of options.routes) {
      const isJson = route.upload === undefined && route.download === undefined;
      if (isJson && route.plane !== "control" && route.method === "POST" && route.path.startsWith(`${queuePath}/`)) {
        this.#byAction.set(route.path.slice(queuePath.length), route);
      }
    }
  }

  /** `undefined`: the request is for the framework. `length`: of its body; it has passed a parser. */
  recognise(head: RequestHead, length: number): LaneRequest | undefined {
    const { url = "", method, headers } = head;
    if (method === "GET" && length === 0) return this.#recogniseList(head, url);
    if (method !== "POST" || !url.startsWith(this.start) || headers.host === undefined) return undefined;
    const idEnd = this.start.length + idLength;
    const route = this.#byAction.get(url.slice(idEnd));
    const queueId = url.slice(this.start.length, idEnd);
    if (route === undefined || !idPattern.test(queueId)) return undefined;
    if (!(length <= (route.maxBytes ?? limits.request.jsonBytes))) return undefined;
    return {
      route,
      head,
      params: { account_id: this.#options.accountId, queue_id: queueId },
      query: noQuery,
      header: (name) => headerOf(head, name),
      contentType: headers["content-type"],
      origin: originOf(head),
    };
  }

  #recogniseList(head: RequestHead, url: string): LaneRequest | undefined {
    const pathEnd = this.start.length - 1;
    if (this.#list === undefined || url[pathEnd] !== "?" || !this.start.startsWith(url.slice(0, pathEnd)))
      return undefined;
    const query = queryOf(url.slice(pathEnd + 1));
    if (query === undefined || head.headers.host === undefined) return undefined;
    return {
      route: this.#list,
      head,
      params: { account_id: this.#options.accountId },
      query,
      header: (name) => headerOf(head, name),
      contentType: head.headers["content-type"],
      origin: originOf(head),
    };
  }

  /** Who asks; `undefined`: the framework shall refuse it. */
  admit({ route, head }: LaneRequest): Principal | undefined {
    if (this.#options.stopping.aborted) return undefined;
    try {
      return admit(route, head, this.#options.accountId, this.#options);
    } catch {
      return undefined;
    }
  }

  /** Never throws. `bytes` are read before this returns. */
  serve(request: LaneRequest, principal: Principal, bytes: Uint8Array | undefined, client: LaneClient): void {
    const { route, head, params, query, header, contentType, origin } = request;
    const fail = (thrown: unknown): void => {
      const { status, headers, envelope } = refusalOf(thrown, head, route, this.#options.logger);
      client.answer(status, JSON.stringify(envelope), headers);
    };
    const succeed = (answer: Answer<unknown>): void => {
      let text: string;
      try {
        text = envelopeText(answer);
      } catch (error) {
        fail(error);
        return;
      }
      client.answer(answer.status ?? 200, text);
    };
    try {
      const goneOrStopping = (): AbortSignal => client.goneOrStopping();
      const call = { params, query, bytes, contentType, header, principal, goneOrStopping, origin };
      const served = route.serve(call);
      if (served instanceof Promise) served.then(succeed, fail);
      else succeed(served);
    } catch (error) {
      fail(error);
    }
  }
}

/** `undefined`: not plain, or a name comes twice. */
function queryOf(text: string): Readonly<Record<string, string>> | undefined {
  if (!plainQuery.test(text)) return undefined;
  const query: Record<string, string> = {};
  for (const pair of text.split("&")) {
    const [name = "", value = ""] = pair.split("=");
    if (Object.hasOwn(query, name)) return undefined;
    query[name] = value;
  }
  return query;
}
