// A backup of a server at work is restored and served: every message acknowledged before the backup began is there, nothing is there
// twice, and everything adds up.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { command, millraceBin, Server, temporaryFolder } from "../support/millrace.ts";

interface Message {
  readonly id: string;
  readonly body: string;
  readonly ref: string;
}

/** Sends numbered messages until it is stopped; `acknowledged` are the numbers whose send was answered, in order. */
class Producer {
  readonly acknowledged: number[] = [];
  readonly #stop = new AbortController();
  readonly #server: Server;
  readonly #queue: string;
  #next = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(server: Server, queue: string) {
    this.#server = server;
    this.#queue = queue;
  }

  async send(count: number): Promise<void> {
    const numbers = Array.from({ length: count }, () => this.#next++);
    const messages = numbers.map((number) => ({ body: { number, padding: "x".repeat(500) } }));
    await this.#server.result("POST", `/queues/${this.#queue}/messages/batch`, { messages });
    this.acknowledged.push(...numbers);
  }

  start(): void {
    const run = async (): Promise<void> => {
      while (!this.#stop.signal.aborted) await this.send(10);
    };
    this.#running = run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

async function everyNumber(server: Server, queue: string): Promise<number[]> {
  const numbers: number[] = [];
  const ids = new Set<string>();
  for (let after: string | undefined; ;) {
    const body = { batch_size: 100, ...(after !== undefined && { after }) };
    const { messages } = await server.result<{ messages: Message[] }>("POST", `/queues/${queue}/messages/peek`, body);
    for (const message of messages) {
      assert.ok(!ids.has(message.id), `message ${message.id} is there once`);
      ids.add(message.id);
      const { number } = JSON.parse(Buffer.from(message.body, "base64").toString()) as { number: number };
      numbers.push(number);
    }
    after = messages.at(-1)?.ref;
    if (after === undefined) return numbers;
  }
}

test(
  "a backup under load, restored and served, holds everything acknowledged before",
  { timeout: 240_000 },
  async () => {
    await using folder = await temporaryFolder();
    const file = join(folder.path, "copy.db");
    const restored = join(folder.path, "restored");
    let kept = "";
    let worked = "";
    let before: readonly number[] = [];
    let accepted: readonly number[] = [];
    let account = "";
    {
      await using server = await Server.start(join(folder.path, "data"));
      account = server.ready.account_id;
      const create = async (name: string): Promise<string> =>
        (await server.result<{ queue_id: string }>("POST", "/queues", { queue_name: name })).queue_id;
      [kept, worked] = [await create("kept"), await create("worked")];
      await create("dead");
      await server.result("POST", `/queues/${worked}/consumers`, {
        type: "http_pull",
        dead_letter_queue: "dead",
        settings: { max_retries: 0 },
      });
      const producers = [new Producer(server, kept), new Producer(server, worked)] as const;
      for (let round = 0; round < 50; round += 1) for (const producer of producers) await producer.send(100);

      const stop = new AbortController();
      const consume = async (): Promise<void> => {
        while (!stop.signal.aborted) {
          const { messages } = await server.result<{ messages: { lease_id: string }[] }>(
            "POST",
            `/queues/${worked}/messages/pull`,
            { batch_size: 20, visibility_timeout_ms: 60_000 },
          );
          const leases = messages.map(({ lease_id }) => ({ lease_id }));
          // Half are acknowledged, the others go to the dead letter queue.
          await server.result("POST", `/queues/${worked}/messages/ack`, {
            acks: leases.filter((_, index) => index % 2 === 0),
            retries: leases.filter((_, index) => index % 2 === 1),
          });
        }
      };
      for (const producer of producers) producer.start();
      const consuming = consume();
      before = [...producers[0].acknowledged];
      const backup = await server.millrace(folder.path, "backup", file);
      assert.equal(backup.code, 0, backup.stderr);
      const during = producers[0].acknowledged.length - before.length;
      assert.ok(during > 0, "sends went on meanwhile");
      stop.abort();
      await consuming;
      for (const producer of producers) await producer.stop();
      accepted = producers[0].acknowledged;
      const doctor = await server.millrace(folder.path, "doctor", "--deep");
      assert.match(doctor.stdout, /^ok +Messages +3 queues, .*: all accounted for \(read one by one\)$/m);
      const metrics = await (await fetch(new URL("/metrics", server.ready.console))).text();
      assert.match(metrics, /^millrace_conservation_imbalance\{queue="worked"\} 0$/m);
      assert.match(metrics, /^millrace_messages_dead_lettered_total\{queue="worked"\} [1-9]/m);
    }

    const restoring = await command([millraceBin, "restore", file, "--data", restored], folder.path, {});
    assert.equal(restoring.code, 0, restoring.stderr + restoring.stdout);
    assert.match(restoring.stdout, /^Every message was read: all that were accepted are accounted for\.$/m);

    await using copy = await Server.start(restored);
    assert.equal(copy.ready.account_id, account, "clients need not be told of another account");
    const numbers = await everyNumber(copy, kept);
    assert.ok(numbers.length >= before.length);
    assert.deepEqual(numbers, accepted.slice(0, numbers.length), "it is as of one moment");
    for (const queue of [kept, worked, await copy.queueId("dead")]) {
      const accounting = await copy.result<{ holds: boolean }>("GET", `/millrace/queues/${queue}/accounting?deep=true`);
      assert.equal(accounting.holds, true);
      await everyNumber(copy, queue);
    }
  },
);
