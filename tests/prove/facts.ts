// What the ledger holds: everything seen from outside the server, one fact a line. The verdict is reached from these alone.

export type Door = "rest" | "rest-bulk" | "binding" | "binding-batch";

/** What is done to the server. Those that begin with `kill` are SIGKILL. */
export type FaultKind =
  | "kill-server"
  /** While it starts, before it is ready. */
  | "kill-starting-server"
  /** Server, its Workers' processes and the shell that would end them: as when a machine runs out of memory. */
  | "kill-everything"
  /** After a pause: what came in meanwhile is never read. */
  | "kill-paused-server"
  | "kill-consumer"
  | "kill-producer"
  | "pause-server"
  | "pause-consumer"
  /** A pause that only the server's watchdog ends. */
  | "hang-consumer"
  /** SIGTERM: drains, then ends. */
  | "stop-server"
  /** A new version of the consuming Worker, by wrangler; the old one finishes what it has. */
  | "deploy-consumer"
  /** Each pushed queue is paused for a moment, and its consumer's batches and concurrency change. */
  | "change-settings";

export type DeliveredMessage = {
  /** The id in the body. */
  readonly id: string;
  readonly messageId: string;
  readonly attempts: number;
  readonly isIntact: boolean;
};

/** What a handler does with one message when it comes to its end. */
export type HandlerVerdict = "ack" | "retry";

/** How a consumer over HTTP treats what it pulled. `abandon`: it forgets it, as if it had died. `late`: it acks after its lease. */
export type PullPlan = "settle" | "late" | "abandon";

export type Fact =
  | { readonly kind: "run"; readonly seed: number; readonly kills: number }
  | {
      readonly kind: "queue";
      readonly queue: string;
      readonly consumer: "push" | "pull" | "none";
      /** Deliveries a message gets at most. */
      readonly deliveries: number;
    }
  // ── producers ───────────────────────────────────────────────────────────────────────────────────────────────────────
  /** About to be sent. */
  | {
      readonly kind: "offered";
      readonly send: number;
      readonly door: Door;
      readonly queue: string;
      readonly ids: readonly string[];
      readonly delaySeconds: number;
    }
  /** Answered as stored: from here on none of it may be lost. */
  | { readonly kind: "accepted"; readonly send: number }
  /** Answered with an error, or not answered: all of it may be stored, or nothing. */
  | { readonly kind: "refused"; readonly send: number; readonly status: number }
  | { readonly kind: "unanswered"; readonly send: number }
  // ── push consumers ──────────────────────────────────────────────────────────────────────────────────────────────────
  /** A handler has told what it was given; written before it is answered. */
  | {
      readonly kind: "pushed";
      readonly delivery: number;
      readonly life: number;
      readonly queue: string;
      readonly messages: readonly DeliveredMessage[];
    }
  /** About to tell the handler what to do. Verdicts in the order of the messages. */
  | { readonly kind: "instructed"; readonly delivery: number; readonly verdicts: readonly HandlerVerdict[] }
  /** The server's log on a batch. */
  | {
      readonly kind: "batch-opened";
      readonly life: number;
      readonly queue: string;
      readonly batch: string;
      readonly firstMessageId: string;
      readonly attemptsMin: number;
      readonly attemptsMax: number;
    }
  | {
      readonly kind: "batch-closed";
      readonly life: number;
      readonly queue: string;
      readonly batch: string;
      readonly outcome: string;
    }
  /** The server's log on a message whose deliveries are used up. */
  | { readonly kind: "dead-lettered"; readonly life: number; readonly messageId: string; readonly attempts: number }
  // ── pull consumers ──────────────────────────────────────────────────────────────────────────────────────────────────
  | { readonly kind: "pulling"; readonly pull: number; readonly queue: string; readonly visibilityMs: number }
  | {
      readonly kind: "pulled";
      readonly pull: number;
      readonly plan: PullPlan;
      readonly messages: readonly (DeliveredMessage & { readonly lease: string })[];
    }
  /** No answer: the messages may be leased all the same. */
  | { readonly kind: "pull-unanswered"; readonly pull: number }
  | {
      readonly kind: "settling";
      readonly settlement: number;
      readonly queue: string;
      readonly acks: readonly string[];
      readonly retries: readonly string[];
    }
  /** Answered; warnings by lease. */
  | {
      readonly kind: "settled";
      readonly settlement: number;
      readonly warnings: Readonly<Record<string, string>>;
    }
  | { readonly kind: "settle-unanswered"; readonly settlement: number }
  // ── the server ──────────────────────────────────────────────────────────────────────────────────────────────────────
  /** One process of the server, numbered from 1. */
  | { readonly kind: "spawned"; readonly life: number }
  | { readonly kind: "ready"; readonly life: number }
  | { readonly kind: "ended"; readonly life: number; readonly how: string }
  /** Asked to stop: it takes up no more work. */
  | { readonly kind: "draining"; readonly life: number }
  | { readonly kind: "worker-ready"; readonly life: number; readonly worker: string; readonly pid: number }
  | { readonly kind: "fault"; readonly fault: number; readonly what: FaultKind; readonly life: number }
  /** About to be sent to the server's process, or to a Worker's. */
  | { readonly kind: "signal"; readonly life: number; readonly target: string; readonly signal: string }
  | { readonly kind: "fault-over"; readonly fault: number }
  /** No more faults and no more sends; everything is acknowledged as it comes. */
  | { readonly kind: "calm" }
  /** No backlog is left anywhere but in the dead letter queues, or the wait for that was given up. */
  | { readonly kind: "drained"; readonly backlog: number }
  /** What is in a queue at the end. */
  | { readonly kind: "left"; readonly queue: string; readonly messages: readonly DeliveredMessage[] }
  /** Processes of Workers that outlived every server. */
  | { readonly kind: "orphans"; readonly pids: readonly number[] }
  /** A Worker's process died with a batch, with nothing else to do: how long until a handler had it again. */
  | { readonly kind: "redelivered"; readonly deathsBefore: number; readonly ms: number }
  | { readonly kind: "checked"; readonly what: string; readonly isGood: boolean; readonly text: string };

/** How the server's process is named among the targets of signals. */
export const serverTarget = "server";

/** A fact with when it was seen: milliseconds since the Unix epoch, with fractions, never going back. */
export type RecordedFact = Fact & { readonly at: number };
