// The server as its users see it: now there, now gone, and started again each time. Tells the ledger of every life.

import { execFileSync } from "node:child_process";
import { within } from "./deadline.ts";
import { serverTarget } from "./facts.ts";
import type { Ledger } from "./ledger.ts";
import { ServerProcess } from "./server-process.ts";
import type { Addresses, LogLine, ServerProcessOptions } from "./server-process.ts";

export class ServerKeeper implements AsyncDisposable {
  readonly #ledger: Ledger;
  readonly #options: Omit<ServerProcessOptions, "onEvent">;
  readonly #workers = new Map<string, number>();
  readonly #waiting: (() => void)[] = [];
  /** Of every Worker's process there ever was. */
  readonly #workerPids = new Set<number>();
  #life = 0;
  #process: ServerProcess | undefined;
  #addresses: Addresses | undefined;

  constructor(ledger: Ledger, options: Omit<ServerProcessOptions, "onEvent">) {
    this.#ledger = ledger;
    this.#options = options;
    // Whatever ends this process, no server is left behind; what the server left is its own affair.
    process.once("exit", () => this.#process?.signal("SIGKILL"));
  }

  /** The number of the process that runs now, or ran last. */
  get life(): number {
    return this.#life;
  }

  /** Signals a Worker's process, once there is one that nobody has killed. Answers its process id. */
  async signalWorker(worker: string, signal: "SIGKILL" | "SIGSTOP"): Promise<number> {
    for (;;) {
      const pid = this.#workers.get(worker);
      if (pid !== undefined) {
        if (signal === "SIGKILL") this.#workers.delete(worker);
        this.#ledger.note({ kind: "signal", life: this.#life, target: worker, signal });
        killIfThere(pid, signal);
        return pid;
      }
      await this.#news();
    }
  }

  /** Resolves with the process id of a Worker's next process. */
  async nextWorker(worker: string): Promise<number> {
    const before = this.#workers.get(worker);
    for (;;) {
      await this.#news();
      const pid = this.#workers.get(worker);
      if (pid !== undefined && pid !== before) return pid;
    }
  }

  /** Starts a process; `ready` answers when it is. */
  spawn(): ServerProcess {
    this.#life += 1;
    const life = this.#life;
    const server = new ServerProcess({ ...this.#options, onEvent: (line) => this.#read(life, line) });
    this.#ledger.note({ kind: "spawned", life });
    this.#process = server;
    this.#workers.clear();
    void server.ended.then((how) => this.#ledger.note({ kind: "ended", life, how }));
    return server;
  }

  /** Starts the server and waits until it is ready. */
  async start(): Promise<Addresses> {
    const server = this.spawn();
    const addresses = await within("the server is ready", server.ready);
    this.#ledger.note({ kind: "ready", life: this.#life });
    this.#addresses = addresses;
    this.#tellNews();
    return addresses;
  }

  /** Where the server is, once it is somewhere. */
  async addresses(): Promise<Addresses> {
    while (this.#addresses === undefined) await this.#news();
    return this.#addresses;
  }

  /** Ends the process with a signal and waits for the end. Answers how it ended. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<string> {
    this.#addresses = undefined;
    this.#signal(signal);
    return await within("the server ends", this.#running.ended);
  }

  /** Kills the server and everything it started, so that nothing can tidy up after it. */
  async endEverything(): Promise<void> {
    this.#addresses = undefined;
    const server = this.#running;
    server.signal("SIGSTOP"); // it would start a new shell for one that ends
    for (const pid of childrenOf(server.pid)) killIfThere(pid, "SIGKILL");
    this.#signal("SIGKILL");
    await within("the server ends", server.ended);
  }

  pause(): void {
    this.#signal("SIGSTOP");
  }

  resume(): void {
    this.#signal("SIGCONT");
  }

  /** Processes of Workers that are still there. */
  orphans(): number[] {
    const runtimes = new Set(processes().flatMap(({ pid, name }) => (name.includes("workerd") ? [pid] : [])));
    return [...this.#workerPids].filter((pid) => runtimes.has(pid));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#process;
    if (server === undefined || server.hasEnded) return;
    server.signal("SIGCONT");
    await this.end("SIGTERM");
  }

  #signal(signal: NodeJS.Signals): void {
    this.#ledger.note({ kind: "signal", life: this.#life, target: serverTarget, signal });
    this.#running.signal(signal);
  }

  get #running(): ServerProcess {
    if (this.#process === undefined) throw new Error("no server was started");
    return this.#process;
  }

  /** Resolves when a server or a Worker's process is ready. */
  async #news(): Promise<void> {
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #tellNews(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #read(life: number, line: LogLine): void {
    const { event } = line;
    if (event === "worker.ready") {
      const worker = String(line["worker"]);
      const pid = Number(line["pid"]);
      this.#workers.set(worker, pid);
      this.#workerPids.add(pid);
      this.#ledger.note({ kind: "worker-ready", life, worker, pid });
      this.#tellNews();
    } else if (event === "message.deadLettered") {
      const messageId = String(line["messageId"]);
      this.#ledger.note({ kind: "dead-lettered", life, messageId, attempts: Number(line["attempts"]) });
    } else if (event === "server.draining") {
      this.#ledger.note({ kind: "draining", life });
    } else if (event === "batch.delivered") {
      this.#ledger.note({
        kind: "batch-opened",
        life,
        queue: String(line["queue"]),
        batch: String(line["batch"]),
        firstMessageId: String(line["first_message_id"]),
        attemptsMin: Number(line["attempts_min"]),
        attemptsMax: Number(line["attempts_max"]),
      });
    } else if (event.startsWith("batch.")) {
      const outcome = event === "batch.returned" ? "returned" : String(line["outcome"]);
      this.#ledger.note({
        kind: "batch-closed",
        life,
        queue: String(line["queue"]),
        batch: String(line["batch"]),
        outcome,
      });
    }
  }
}

export function killIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function childrenOf(parent: number): number[] {
  const all = processes();
  const below = (of: number): number[] =>
    all.flatMap((each) => (each.parent === of ? [each.pid, ...below(each.pid)] : []));
  return below(parent);
}

function processes(): { readonly pid: number; readonly parent: number; readonly name: string }[] {
  const rows = execFileSync("ps", ["-A", "-o", "pid=,ppid=,comm="], { encoding: "utf8" }).trim().split("\n");
  return rows.map((row) => {
    const [pid = "", parent = "", ...name] = row.trim().split(/\s+/);
    return { pid: Number(pid), parent: Number(parent), name: name.join(" ") };
  });
}
