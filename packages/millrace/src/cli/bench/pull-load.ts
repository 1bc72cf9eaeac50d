// Empties a queue over the REST API, several connections at once, and checks by number that every message comes exactly once.

import { Histogram } from "./histogram.ts";
import type { HistogramData } from "./histogram.ts";
import { HttpConnection } from "./http-connection.ts";
import type { HttpAddress } from "./http-connection.ts";
import { requestText } from "./http-load.ts";

export interface PullPlan {
  readonly address: HttpAddress;
  readonly host: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Of each queue, without `/pull` and `/ack`. */
  readonly paths: readonly string[];
  readonly connections: number;
  readonly batchSize: number;
  /** The messages that must come: so many, from this number on, but not those. */
  readonly expected: {
    readonly firstNumber: number;
    readonly numbers: number;
    readonly refused: readonly number[];
  };
  /** Ends after so many batches instead of when the queues are empty. */
  readonly batches?: number | undefined;
}

/** What came, compared with what was sent and accepted. */
export interface DeliveryCheck {
  readonly sent: number;
  /** Distinct messages of those sent. */
  readonly delivered: number;
  readonly missing: number;
  readonly duplicates: number;
  /** Delivered, but not sent in this run. */
  readonly strangers: number;
}

export interface PullResult {
  readonly check: DeliveryCheck;
  /** From the first pull to the last acknowledgement. */
  readonly ms: number;
  /** Of one pull and its acknowledgement. */
  readonly latency: HistogramData;
}

/** Counts numbers as they come. */
export class DeliveryCounter {
  readonly #first: number;
  readonly #seen: Uint8Array;
  readonly #refused: ReadonlySet<number>;
  #delivered = 0;
  #duplicates = 0;
  #strangers = 0;

  constructor({ firstNumber, numbers, refused }: PullPlan["expected"]) {
    this.#first = firstNumber;
    this.#seen = new Uint8Array(numbers);
    this.#refused = new Set(refused);
  }

  count(number: number): void {
    const place = number - this.#first;
    const seen = this.#seen[place];
    if (seen === undefined || this.#refused.has(number)) this.#strangers += 1;
    else if (seen > 0) this.#duplicates += 1;
    else {
      this.#seen[place] = 1;
      this.#delivered += 1;
    }
  }

  result(): DeliveryCheck {
    const sent = this.#seen.length - this.#refused.size;
    return {
      sent,
      delivered: this.#delivered,
      missing: sent - this.#delivered,
      duplicates: this.#duplicates,
      strangers: this.#strangers,
    };
  }
}

interface Pulled {
  readonly result: {
    readonly message_backlog_count: number;
    readonly messages: readonly {
      readonly lease_id: string;
      readonly body: string;
      readonly metadata: Readonly<Record<string, string>>;
    }[];
  };
}

const pauseMs = 2;

/** Rejects when a request fails. */
export async function pullAll(plan: PullPlan): Promise<PullResult> {
  const counter = new DeliveryCounter(plan.expected);
  const latency = new Histogram();
  const startedAt = performance.now();
  let lastAckAt = startedAt;
  let batches = 0;
  const left = plan.paths.values();
  await Promise.all(
    Array.from({ length: plan.connections }, async (_, place) => {
      const connection = await HttpConnection.open(plan.address, () => undefined);
      try {
        // All connections share few queues; of many, each takes the next that nobody has.
        for (const path of plan.paths.length < plan.connections ? plan.paths : left) {
          await emptyQueue(path);
        }
      } finally {
        connection.close();
      }

      async function emptyQueue(path: string): Promise<void> {
        const pull = Buffer.from(post(plan, `${path}/pull`, JSON.stringify({ batch_size: plan.batchSize })));
        while (batches < (plan.batches ?? Number.POSITIVE_INFINITY)) {
          batches += 1;
          const beganAt = performance.now();
          const { messages, message_backlog_count: backlog } = ((await ask(connection, pull)) as Pulled).result;
          if (messages.length === 0) {
            if (backlog === 0) return;
            // The rest is leased by other connections, which are about to acknowledge it.
            await new Promise((resolve) => void setTimeout(resolve, pauseMs + place));
            continue;
          }
          for (const { body, metadata } of messages) counter.count(numberOf(body, metadata["CF-Content-Type"]));
          const acks = messages.map(({ lease_id }) => ({ lease_id }));
          await ask(connection, Buffer.from(post(plan, `${path}/ack`, JSON.stringify({ acks }))));
          lastAckAt = performance.now();
          latency.record(lastAckAt - beganAt);
        }
      }
    }),
  );
  return { check: counter.result(), ms: lastAckAt - startedAt, latency: latency.toJSON() };
}

function post({ host, headers }: PullPlan, path: string, body: string): string {
  return requestText({ method: "POST", path, host, headers, body });
}

async function ask(connection: HttpConnection, request: Buffer): Promise<unknown> {
  const { status, body } = await connection.ask(request);
  const text = body.toString("utf8");
  if (status !== 200) throw new Error(`the server answered ${status}: ${text.slice(0, 300)}`);
  return JSON.parse(text);
}

/** Of a body made by `messageBody`. */
function numberOf(body: string, contentType: string | undefined): number {
  const text = contentType === "text" ? body : Buffer.from(body.slice(0, 28), "base64").toString("latin1");
  return Number(text.slice(7, 17));
}
