// Calls the REST API and turns its envelope into a value or a failure in words.

import { z } from "zod";
import { envelopeOf, responseError } from "../contract/rest/index.ts";
import { CommandFailure } from "./command-failure.ts";
import { howToStart } from "./target.ts";
import type { Target } from "./target.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** The API said no. */
export class RestFailure extends CommandFailure {
  readonly status: number;
  /** Cloudflare's numbers, as many as there were errors. */
  readonly codes: readonly number[];

  constructor(message: string, status: number, codes: readonly number[]) {
    super(message);
    this.status = status;
    this.codes = codes;
  }
}

export interface Download {
  readonly bytes: number;
  /** Throws when the server ends the transfer early. */
  readonly chunks: AsyncIterable<Uint8Array>;
}

export interface RestClient {
  /** The account's id, asked for once if nobody said it. */
  accountId(): Promise<string>;
  /** Calls a path below the account; answers `result`, checked. */
  call<T>(method: Method, path: string, result: z.ZodType<T>, body?: unknown): Promise<T>;
  /** Sends a text that is not JSON, and answers as `call` does. */
  post<T>(path: string, result: z.ZodType<T>, text: string): Promise<T>;
  /** Reads a text below the account. */
  readText(path: string): Promise<{ readonly text: string; readonly header: (name: string) => string | undefined }>;
  /** Opens a file below the account, to be read to its end. */
  download(path: string): Promise<Download>;
  /** What the API adds for people beside the result goes here. */
  onNote: (text: string) => void;
}

/** A body of JSON that is sent as it is. */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A body of anything else. */
class Text {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const failureEnvelope = z.object({ errors: z.array(responseError).min(1) });

export function createRestClient(target: Target): RestClient {
  let account: Promise<string> | undefined =
    target.accountId === undefined ? undefined : Promise.resolve(target.accountId);

  const client: RestClient = {
    onNote: () => undefined,
    accountId: async () => await (account ??= firstAccount()),
    async download(path) {
      const response = await ask(target, "GET", `/accounts/${await client.accountId()}${path}`, undefined);
      if (response.ok && response.body !== null) {
        return { bytes: Number(response.headers.get("content-length")), chunks: response.body };
      }
      throw refusal(response.status, parseJson(await response.text())) ?? unexpected("GET", path, response.status);
    },
    async post(path, result, text) {
      return await request("POST", `/accounts/${await client.accountId()}${path}`, result, new Text(text));
    },
    async readText(path) {
      const response = await ask(target, "GET", `/accounts/${await client.accountId()}${path}`, undefined);
      const text = await textOf(target, response);
      if (response.ok) return { text, header: (name) => response.headers.get(name) ?? undefined };
      throw refusal(response.status, parseJson(text)) ?? unexpected("GET", path, response.status);
    },
    async call(method, path, result, body) {
      return await request(method, `/accounts/${await client.accountId()}${path}`, result, body);
    },
  };

  async function firstAccount(): Promise<string> {
    const [first] = await request("GET", "/accounts", z.array(z.object({ id: z.string() })));
    if (first === undefined) throw new CommandFailure("the token sees no account. Set MILLRACE_ACCOUNT_ID.");
    return first.id;
  }

  async function request<T>(method: Method, path: string, result: z.ZodType<T>, body?: unknown): Promise<T> {
    const response = await ask(target, method, path, body);
    const { status } = response;
    const json = parseJson(await textOf(target, response));
    const refused = refusal(status, json);
    if (refused !== undefined) throw refused;
    const parsed = status >= 400 ? undefined : envelopeOf(result).safeParse(json);
    if (parsed?.success !== true) throw unexpected(method, path, status, parsed?.error);
    for (const text of parsed.data.messages) client.onNote(text);
    return parsed.data.result;
  }

  function unexpected(method: Method, path: string, status: number, cause?: Error): CommandFailure {
    return new CommandFailure(
      `${target.api} answered ${method} ${path} with something else than expected (HTTP ${status}). Is it a Millrace server of this version?`,
      { cause },
    );
  }

  return client;
}

function refusal(status: number, json: unknown): RestFailure | undefined {
  const refused = status >= 400 ? failureEnvelope.safeParse(json) : undefined;
  if (refused?.success !== true) return undefined;
  const { errors } = refused.data;
  return new RestFailure(
    errors.map(({ message, code }) => `${message} [code: ${code}]`).join("; "),
    status,
    errors.map(({ code }) => code),
  );
}

async function ask({ api, token }: Target, method: Method, path: string, body: unknown): Promise<Response> {
  try {
    return await fetch(`${api}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": body instanceof Text ? "text/plain" : "application/json" }),
      },
      body: textToSend(body),
    });
  } catch (error) {
    throw unreachable(api, error);
  }
}

function textToSend(body: unknown): string | null {
  if (body === undefined) return null;
  return body instanceof Text || body instanceof JsonText ? body.text : JSON.stringify(body);
}

async function textOf({ api }: Target, response: Response): Promise<string> {
  try {
    return await response.text();
  } catch (error) {
    throw unreachable(api, error);
  }
}

function unreachable(api: string, error: unknown): CommandFailure {
  const reason = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const refused = reason instanceof Error && "code" in reason && reason.code === "ECONNREFUSED";
  const why = refused ? "nothing answers there" : reason instanceof Error ? reason.message : String(reason);
  return new CommandFailure(`cannot reach ${new URL(api).origin}: ${why}. ${howToStart}`, { cause: error });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // told as an unexpected answer
  }
}
