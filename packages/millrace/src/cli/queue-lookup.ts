// Finds a queue by the name people use, as wrangler does: through the list.

import { z } from "zod";
import { nearest } from "../config/index.ts";
import { queueView } from "../contract/rest/index.ts";
import type { QueueView } from "../contract/rest/index.ts";
import { CommandFailure } from "./command-failure.ts";
import type { RestClient } from "./rest-client.ts";

const queueList = z.array(queueView);

export async function listQueues(client: RestClient): Promise<QueueView[]> {
  return await client.call("GET", "/queues", queueList);
}

async function findQueue(client: RestClient, name: string): Promise<QueueView | undefined> {
  const [found] = await client.call("GET", `/queues?name=${encodeURIComponent(name)}`, queueList);
  return found;
}

/** Throws when there is none of that name, with the nearest that exists. */
export async function requireQueue(client: RestClient, name: string): Promise<QueueView> {
  const found = await findQueue(client, name);
  if (found !== undefined) return found;
  const names = (await listQueues(client)).map(({ queue_name }) => queue_name);
  const meant = nearest(name, names);
  const hint =
    meant !== undefined
      ? `Did you mean ${meant}?`
      : `Create it: millrace queues create ${name}. ${names.length > 0 ? "`millrace queues list` shows what exists." : "There is no queue yet."}`;
  throw new CommandFailure(`queue "${name}" does not exist. ${hint}`);
}
