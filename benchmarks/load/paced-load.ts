// Sends at a steady pace, whatever the answers take, and measures until somebody calls back with the message's number.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Histogram } from "../../packages/millrace/src/cli/bench/histogram.ts";
import type { HistogramData } from "../../packages/millrace/src/cli/bench/histogram.ts";
import { HttpConnection } from "../../packages/millrace/src/cli/bench/http-connection.ts";
import type { HttpAddress } from "../../packages/millrace/src/cli/bench/http-connection.ts";
import { numberMark } from "../../packages/millrace/src/cli/bench/http-load.ts";
import { DeliveryCounter } from "../../packages/millrace/src/cli/bench/pull-load.ts";
import type { DeliveryCheck } from "../../packages/millrace/src/cli/bench/pull-load.ts";

export interface PacedPlan {
  readonly address: HttpAddress;
  readonly text: string;
  readonly perSecond: number;
  readonly seconds: number;
  readonly firstNumber: number;
}

export interface PacedResult {
  /** From the start of the request to the call back. */
  readonly handled: HistogramData;
  /** From the start of the request to its answer. */
  readonly answered: HistogramData;
  readonly check: DeliveryCheck;
}

/** How long after the last request call backs may still come. */
const patienceMs = 10_000;

export interface Callbacks {
  readonly port: number;
  readonly run: (plan: PacedPlan) => Promise<PacedResult>;
}

/** Listens for call backs: `GET /0000000042,0000000043`. */
export async function openCallbacks(): Promise<Callbacks> {
  let onCall: (number: number) => void = () => undefined;
  const server = createServer({ noDelay: true, keepAliveTimeout: 60_000 }, (request, response) => {
    for (const number of (request.url ?? "").slice(1).split(",")) onCall(Number(number));
    response.writeHead(200, { "content-length": 0 });
    response.end();
  });
  server.unref();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    run: async (plan) => {
      try {
        return await runPaced(plan, (listener) => {
          onCall = listener;
        });
      } finally {
        onCall = () => undefined;
      }
    },
  };
}

async function runPaced(plan: PacedPlan, listen: (onCall: (number: number) => void) => void): Promise<PacedResult> {
  const { address, text, perSecond, seconds, firstNumber } = plan;
  const numbers = Math.max(1, Math.round(perSecond * seconds));
  const counter = new DeliveryCounter({ firstNumber, numbers, refused: [] });
  const handled = new Histogram();
  const answered = new Histogram();
  const beganAt = new Float64Array(numbers);
  const failed = Promise.withResolvers<never>();
  const allHandled = Promise.withResolvers<void>();
  let left = numbers;
  listen((number) => {
    handled.record(performance.now() - (beganAt[number - firstNumber] ?? 0));
    counter.count(number);
    left -= 1;
    if (left === 0) allHandled.resolve();
  });

  const idle: HttpConnection[] = [];
  const all: HttpConnection[] = [];
  const open = async (): Promise<HttpConnection> => {
    const connection = await HttpConnection.open(address, failed.reject);
    all.push(connection);
    return connection;
  };
  for (let count = 0; count < 8; count += 1) idle.push(await open());

  const send = async (place: number): Promise<void> => {
    const connection = idle.pop() ?? (await open());
    const request = Buffer.from(text.replace(numberMark, String(firstNumber + place).padStart(10, "0")));
    const startedAt = performance.now();
    beganAt[place] = startedAt;
    connection.exchange(request, (status, body) => {
      answered.record(performance.now() - startedAt);
      idle.push(connection);
      if (status !== 200) failed.reject(new Error(`the server answered ${status}: ${body.toString("utf8", 0, 300)}`));
    });
  };
  const startedAt = performance.now();
  let sent = 0;
  const pace = setInterval(() => {
    const due = Math.min(numbers, Math.floor(((performance.now() - startedAt) / 1_000) * perSecond) + 1);
    for (; sent < due; sent += 1) void send(sent).catch(failed.reject);
    if (sent === numbers) clearInterval(pace);
  }, 1);
  const patience = setTimeout(allHandled.resolve, seconds * 1_000 + patienceMs);
  try {
    await Promise.race([allHandled.promise, failed.promise]);
  } finally {
    clearTimeout(patience);
    clearInterval(pace);
    for (const connection of all) connection.close();
  }
  return { handled: handled.toJSON(), answered: answered.toJSON(), check: counter.result() };
}
