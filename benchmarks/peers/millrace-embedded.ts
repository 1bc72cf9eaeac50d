// Millrace's broker and engine in the process that sends and receives, without HTTP in between.

import { join } from "node:path";
import { ControlPlane, createQueue, Intake } from "../../packages/millrace/src/broker/index.ts";
import { defaultQueueSettings, parseQueueName } from "../../packages/millrace/src/contract/index.ts";
import { milliseconds, noWindow } from "../../packages/millrace/src/core/index.ts";
import type { Holder } from "../../packages/millrace/src/core/index.ts";
import { openSqliteEngine } from "../../packages/millrace/src/engines/sqlite/index.ts";
import { systemClock as clock, systemRandom as random } from "../../packages/millrace/src/system.ts";
import { repeatedly } from "./peer.ts";
import type { Body, Peer } from "./peer.ts";

const busyConsumers = 8;
const quiet = { debug() {}, info() {}, warn: console.error, error: console.error };
const holder = "server:benchmark" as Holder;
const visibility = milliseconds(60_000);

/** What a consumer with nothing to do is woken by: a message that is on its way to the disk, or one that is on it. */
type WokenBy = "sending" | "stored";

export const millraceEmbedded: Peer = {
  name: "Millrace, embedded",
  durability: "synced before the answer",
  missing: () => undefined,
  start: async (folder) => {
    await using parts = new AsyncDisposableStack();
    const engine = parts.use(await openSqliteEngine({ folder: join(folder, "data"), clock, logger: quiet }));
    const controlPlane = parts.use(await ControlPlane.open(engine.catalog, clock, random));
    const command = { name: parseQueueName("bench"), settings: defaultQueueSettings, jurisdiction: null };
    const { id } = await controlPlane.change("benchmark", (view, context) => createQueue(view, context, command));
    const intake = new Intake({ engine, clock, random, catalog: () => controlPlane.view });
    const encoder = new TextEncoder();
    const decoder = new TextDecoder();
    const itemOf = (body: Body) => ({
      contentType: "json",
      body: encoder.encode(JSON.stringify(body)),
      delaySeconds: undefined,
    });
    let wakes = Promise.withResolvers<WokenBy>();
    const wake = (by: WokenBy): void => {
      wakes.resolve(by);
      wakes = Promise.withResolvers();
    };
    engine.onSending(() => wake("sending"));
    engine.onWake(() => wake("stored"));
    const disposal = parts.move();
    return {
      pids: {},
      send: async (body) => void (await intake.send(id, [itemOf(body)])),
      sendMany: async (bodies) => void (await intake.send(id, bodies.map(itemOf))),
      consume: ({ batch: max, isQuiet }, handle) => {
        let isOver = false;
        const request = { max, window: noWindow(max), visibility, holder };
        const consuming = repeatedly(isQuiet ? 1 : busyConsumers, async () => {
          const woken = wakes.promise;
          let leased = await engine.lease(id, request);
          if (leased.batch === undefined) {
            if (isOver) return false;
            // A message that is being stored is asked for at once, as the server's own consumers do.
            leased = await engine.lease(id, { ...request, afterSends: (await woken) === "sending" });
          }
          const { batch, messages } = leased;
          if (batch === undefined) return !isOver;
          handle(messages.map(({ body }) => JSON.parse(decoder.decode(body)) as Body));
          await engine.settle(id, { each: [], whole: [{ batch, decision: { kind: "ack" } }] });
          return true;
        });
        return Promise.resolve({
          async [Symbol.asyncDispose]() {
            isOver = true;
            wake("stored");
            await consuming[Symbol.asyncDispose]();
          },
        });
      },
      [Symbol.asyncDispose]: async () => await disposal.disposeAsync(),
    };
  },
};
