// Sets the stage: queues and the pull consumer over REST, both Workers by real wrangler.

import { fileURLToPath } from "node:url";
import { callApi, resultOf } from "./client.ts";
import type { Ledger } from "./ledger.ts";
import { run, wrangler } from "./programs.ts";
import { token } from "./server-process.ts";
import type { Addresses } from "./server-process.ts";

const folder = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

export interface ProvedQueue {
  readonly name: string;
  readonly id: string;
  readonly consumer: "push" | "pull" | "none";
  /** The producing Worker's binding to it. */
  readonly binding: string | undefined;
}

interface QueuePlan extends Omit<ProvedQueue, "id"> {
  /** Deliveries a message gets at most; for push queues it says what consumer/wrangler.jsonc says. */
  readonly deliveries: number;
}

const pulledRetries = 5;

const plans: readonly QueuePlan[] = [
  { name: "prove-dead-letters", consumer: "none", binding: undefined, deliveries: 0 },
  { name: "prove-one-at-a-time", consumer: "push", binding: "ONE_AT_A_TIME", deliveries: 4 },
  { name: "prove-concurrent", consumer: "push", binding: "CONCURRENT", deliveries: 5 },
  { name: "prove-pulled", consumer: "pull", binding: "PULLED", deliveries: pulledRetries + 1 },
];

export async function deploy(addresses: Addresses, ledger: Ledger, recorderUrl: string): Promise<ProvedQueue[]> {
  const queues: ProvedQueue[] = [];
  for (const { name, consumer, binding, deliveries } of plans) {
    const created = await callApi(addresses, "POST", "/queues", { queue_name: name });
    const { queue_id: id } = resultOf(created, `create queue ${name}`) as { readonly queue_id: string };
    queues.push({ name, id, consumer, binding });
    ledger.note({ kind: "queue", queue: name, consumer, deliveries });
    if (consumer !== "pull") continue;
    const attached = await callApi(addresses, "POST", `/queues/${id}/consumers`, {
      type: "http_pull",
      dead_letter_queue: "prove-dead-letters",
      settings: { max_retries: pulledRetries, batch_size: 10 },
    });
    resultOf(attached, `attach a consumer to ${name}`);
  }
  await Promise.all([deployWorker(addresses, folder("producer")), deployConsumer(addresses, recorderUrl)]);
  return queues;
}

/** May be called again: a new version takes over. */
export async function deployConsumer(addresses: Addresses, recorderUrl: string): Promise<void> {
  await deployWorker(addresses, folder("consumer"), "--var", `RECORDER_URL:${recorderUrl}`);
}

async function deployWorker(addresses: Addresses, cwd: string, ...args: readonly string[]): Promise<void> {
  const { isGood, text } = await run([wrangler, "deploy", ...args], cwd, {
    CLOUDFLARE_API_BASE_URL: addresses.api,
    CLOUDFLARE_API_TOKEN: token,
    CLOUDFLARE_ACCOUNT_ID: addresses.account,
    WRANGLER_SEND_METRICS: "false",
    CI: "1",
  });
  if (!isGood) throw new Error(`wrangler deploy in ${cwd} failed:\n${text}`);
}
