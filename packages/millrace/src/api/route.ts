// One operation of the REST API as a value: where it is, who may use it, what goes in and out, and what it does.
// The server makes HTTP routes of these, and openapi.ts the document.

import type { Readable } from "node:stream";
import type { z } from "zod";
import { MillraceError } from "../core/index.ts";
import type { ErrorCode } from "../core/index.ts";
import type { Plane } from "../contract/index.ts";
import { fieldProblems } from "../contract/rest/index.ts";
import type { FieldProblem, ResultInfo, Scope } from "../contract/rest/index.ts";
import { parseJsonBody } from "./json-body.ts";
import type { Principal } from "./principal.ts";

/** A request as the server hands it over: authenticated, its body read but not parsed. */
export interface RawCall {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly bytes: Uint8Array | undefined;
  readonly contentType: string | undefined;
  readonly header: (name: string) => string | undefined;
  readonly principal: Principal;
  /** Makes a signal that is aborted when the client goes away or the server stops; for requests that wait. */
  readonly goneOrStopping: () => AbortSignal;
  /** Scheme, host and port under which the client reached this server. */
  readonly origin: string;
}

export interface Call<B, Q> extends Omit<RawCall, "query"> {
  readonly body: B;
  readonly query: Q;
}

/** A result that was written as JSON by hand, where `JSON.stringify` would cost more than the rest of the answer. */
export class ResultText {
  readonly json: string;

  constructor(json: string) {
    this.json = json;
  }
}

export interface Answer<R> {
  readonly result: R | ResultText;
  readonly info?: ResultInfo | undefined;
  /** Shown to people beside the result. */
  readonly messages?: readonly string[] | undefined;
  readonly status?: number | undefined;
  /** Answered instead of the envelope. */
  readonly file?: AnswerFile | undefined;
}

export interface AnswerFile {
  readonly stream: Readable;
  readonly bytes: number;
  /** What it is; absent: bytes of some kind. */
  readonly type?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** A body that is not JSON, for the document. */
export interface OtherBody {
  readonly what: string;
  /** Content type. */
  readonly type: string;
}

/** Which error a broken rule of the body means; by default `REQUEST_INVALID`. */
export type Diagnosis = (problem: FieldProblem) => ErrorCode | undefined;

export interface RouteSpec<B extends z.ZodType, Q extends z.ZodType, R extends z.ZodType> {
  /** Unique; the operation's id in the OpenAPI document. */
  readonly id: string;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With parameters as `{queue_id}`; below `/accounts/{account_id}`, or below the API's root for `base: "root"`. */
  readonly path: string;
  readonly base?: "account" | "root";
  readonly tag: string;
  readonly summary: string;
  /** `token`: any valid token; `nothing`: no token at all. */
  readonly needs: Scope | "token" | "nothing";
  readonly plane?: Plane;
  readonly body?: B;
  /** Says yes to bodies that `body` takes and would leave as they are, at a fraction of its cost. What it says no to, `body` judges. */
  readonly isUsual?: (input: unknown) => input is z.output<B>;
  /** What an upload carries when it is not JSON, for the document; a text: a multipart form. */
  readonly upload?: string | OtherBody;
  /** What is answered as a file instead of JSON, for the document; a text: bytes. */
  readonly download?: string | OtherBody;
  readonly maxBytes?: number;
  /** What a body beyond `maxBytes` means; by default `REQUEST_TOO_LARGE`. */
  readonly tooLarge?: ErrorCode;
  /** Its answers carry messages' bodies, megabytes of them: of a connection one is made at a time. */
  readonly answersBodies?: true;
  readonly query?: Q;
  readonly result: R;
  readonly diagnose?: Diagnosis;
  readonly handle: (call: Call<z.output<B>, z.output<Q>>) => Promise<Answer<z.input<R>>> | Answer<z.input<R>>;
}

/** A route with its types forgotten. */
export interface Route extends Omit<RouteSpec<z.ZodType, z.ZodType, z.ZodType>, "handle" | "isUsual"> {
  readonly base: "account" | "root";
  readonly plane: Plane;
  /** Throws what is wrong with the request at once; the rest is in the promise. */
  readonly serve: (call: RawCall) => Promise<Answer<unknown>> | Answer<unknown>;
}

export function defineRoute<
  R extends z.ZodType,
  B extends z.ZodType = z.ZodUndefined,
  Q extends z.ZodType = z.ZodUndefined,
>(spec: RouteSpec<B, Q, R>): Route {
  const { handle, isUsual, ...rest } = spec;
  return {
    ...rest,
    base: spec.base ?? "account",
    plane: spec.plane ?? "control",
    serve: (call) => {
      const query = spec.query === undefined ? undefined : check(spec.query, call.query, queryDiagnosis, "query ");
      let body: unknown;
      if (spec.body !== undefined) {
        const input = parseJsonBody(call.bytes);
        body = isUsual?.(input) === true ? input : check(spec.body, input, spec.diagnose);
      }
      return handle({ ...call, query: query as z.output<Q>, body: body as z.output<B> });
    },
  };
}

const queryDiagnosis: Diagnosis = () => "REQUEST_INVALID";

/** Throws the error of the first problem that has one of its own, with the words of all that share it. */
function check(schema: z.ZodType, input: unknown, diagnose: Diagnosis | undefined, prefix = ""): unknown {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const problems = fieldProblems(parsed.error, input).map((problem) => ({
    code: diagnose?.(problem) ?? ("REQUEST_INVALID" as const),
    words: prefix + problem.words,
  }));
  const code = problems[0]?.code ?? "REQUEST_INVALID";
  const words = problems.filter((problem) => problem.code === code).map((problem) => problem.words);
  throw new MillraceError(code, words.join("; "), { fields: { problems: words } });
}
