// A history: everything that is decided before it runs. Plain data, so that one that fails can be cut down and kept as JSON.

/** What becomes of a client's request on its way. */
export type Passage =
  | "arrives"
  /** It never reaches the server. */
  | "lost"
  /** It does what it does, and the client never learns. */
  | "replyLost"
  /** It reaches the server twice. */
  | "doubled";

export interface ConsumerSketch {
  readonly type: "worker" | "http_pull";
  readonly batchSize: number;
  readonly maxWaitMs: number;
  readonly maxRetries: number;
  readonly retryDelayS: number;
  readonly maxConcurrency: number | null;
  readonly visibilityMs: number;
  readonly deadLetterQueue: string | null;
}

export interface QueueSketch {
  readonly name: string;
  readonly delayS: number;
  readonly retentionS: number;
  readonly consumer: ConsumerSketch | null;
}

/** What a pulling client does with what it got. */
export interface PullPlan {
  readonly thinkMs: number;
  /** Shares of the messages; the rest it forgets. */
  readonly ack: number;
  readonly retry: number;
  readonly retryDelayS: number | null;
  /** Asks for more time first. */
  readonly extendMs: number | null;
  /** Sends the same acknowledgement once more, this much later. */
  readonly againMs: number | null;
}

export type Operation = {
  /** Names the operation's luck. */
  readonly id: number;
  /** Milliseconds since the start. */
  readonly at: number;
} & (
  | {
      readonly kind: "send";
      readonly server: number;
      readonly queue: string;
      /** Delay of each message in seconds; `null`: none of its own. */
      readonly delays: readonly (number | null)[];
      readonly batchDelayS: number | null;
      readonly passage: Passage;
    }
  | {
      readonly kind: "pull";
      readonly server: number;
      readonly queue: string;
      readonly max: number;
      readonly visibilityMs: number | null;
      readonly waitMs: number;
      /** The client goes away while it waits. */
      readonly leavesAfterMs: number | null;
      readonly passage: Passage;
      readonly plan: PullPlan;
    }
  | { readonly kind: "purge"; readonly server: number; readonly queue: string }
  | { readonly kind: "purgeSome"; readonly server: number; readonly queue: string; readonly count: number }
  | {
      readonly kind: "settings";
      readonly server: number;
      readonly queue: string;
      readonly paused: boolean;
      readonly delayS: number;
      readonly retentionS: number;
    }
  | {
      readonly kind: "consumer";
      readonly server: number;
      readonly queue: string;
      readonly consumer: ConsumerSketch | null;
    }
  | { readonly kind: "deleteQueue"; readonly server: number; readonly queue: string }
  | { readonly kind: "createQueue"; readonly server: number; readonly queue: string }
  /** Only where one server has the data: leases that a redrive loses come back when that server starts. */
  | {
      readonly kind: "redrive";
      readonly server: number;
      readonly queue: string;
      readonly to: string;
      readonly max: number;
    }
  | { readonly kind: "rename"; readonly server: number; readonly queue: string; readonly to: string }
  /** kill -9, at the `steps`-th thing the server's store does or answers from then on; 0: at once. */
  | { readonly kind: "crash"; readonly server: number; readonly steps: number; readonly downMs: number }
  | { readonly kind: "stop"; readonly server: number; readonly giveUpMs: number; readonly downMs: number }
  /** SIGSTOP, SIGCONT. */
  | { readonly kind: "freeze"; readonly server: number; readonly steps: number; readonly ms: number }
  | { readonly kind: "jump"; readonly ms: number }
  /** The Worker takes no deliveries for a while. */
  | { readonly kind: "deploy"; readonly server: number; readonly ms: number }
  /** The Worker's process dies with all it has. */
  | { readonly kind: "kill"; readonly server: number }
  /** The handlers fail in this way for a while. */
  | { readonly kind: "mood"; readonly mood: Mood; readonly ms: number }
  | { readonly kind: "disk"; readonly state: "full" | "unavailable" | "slow"; readonly ms: number }
);

export type OperationKind = Operation["kind"];

export type Mood = "well" | "mixed" | "failing";

/** How likely what goes wrong. Probabilities unless named otherwise. */
export interface Profile {
  /** Servers on the same data. More than one: the engine is shared. */
  readonly servers: number;
  /** Several servers: the store's clock is that of another machine, and set back while they run. Left out: it is not. */
  readonly clockGoesBack?: boolean;
  /** Usual time the store takes, and what it may take at times. */
  readonly storeMs: number;
  readonly slowStore: number;
  readonly slowStoreMs: number;
  /** A call fails and nothing happened. */
  readonly failBefore: number;
  /** A call happens and its answer is lost. */
  readonly loseReply: number;
  /** The store does and answers things in the order they were asked. */
  readonly inOrder: boolean;
  /** Wake-up hints that are lost, and those that come without a reading. */
  readonly lostHints: number;
  readonly bareHints: number;
  /** The engine purges in slices. */
  readonly slicedPurge: boolean;
  readonly handlerMs: number;
  readonly notDelivered: number;
  readonly died: number;
  readonly timedOut: number;
  readonly mood: Mood;
}

export interface History {
  readonly seed: number;
  readonly profile: Profile;
  readonly queues: readonly QueueSketch[];
  /** Ascending by `at`. */
  readonly operations: readonly Operation[];
}
