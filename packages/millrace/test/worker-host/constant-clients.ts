// Runs in a thread of its own: clients that ask one port again and again, each as soon as it has been answered. Told to end, it says
// what they saw.

import { Agent, get } from "node:http";
import { parentPort, workerData } from "node:worker_threads";

export interface ConstantClients {
  readonly port: number;
  /** Clients that keep their connection. */
  readonly kept: number;
  /** Clients that open a connection for every request. */
  readonly fresh: number;
}

export interface ClientsSaw {
  /** Answers, by their text. */
  readonly answers: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
  /** Connections that were just opened and closed without an answer, so that the request was sent again. */
  readonly openedAgain: number;
}

const { port, kept, fresh } = workerData as ConstantClients;
const answers: Record<string, number> = {};
const failures: string[] = [];
let openedAgain = 0;
const over = new AbortController();
parentPort?.once("message", () => over.abort());

const agents = Array.from({ length: kept }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
const clients = [...agents.map(client), ...Array.from({ length: fresh }, async () => await client(false))];
await Promise.all(clients);
for (const agent of agents) agent.destroy();
parentPort?.postMessage({ answers, failures, openedAgain } satisfies ClientsSaw, []);

async function client(agent: Agent | false): Promise<void> {
  while (!over.signal.aborted) {
    try {
      const text = await ask(agent);
      answers[text] = (answers[text] ?? 0) + 1;
    } catch (error) {
      const isBroken = error instanceof Error && "code" in error && error.code === "ECONNRESET";
      if (agent === false && isBroken) openedAgain += 1;
      else failures.push(String(error));
    }
  }
}

async function ask(agent: Agent | false): Promise<string> {
  return await new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port, agent }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve(text));
      response.on("error", reject);
    }).on("error", reject);
  });
}
