// What travels between the server's thread and the store thread. One message carries many requests, or all their answers; bodies
// travel in one buffer beside them, which changes hands instead of being copied.

import type {
  AuditEntry,
  BatchWindow,
  CatalogOperation,
  EpochMs,
  ErrorCode,
  Holder,
  LeaseId,
  MessageRef,
  Milliseconds,
  QueueId,
  QueueMetrics,
  QueueSurvey,
  Recount,
  SettleRequest,
} from "../../core/index.ts";
import type { Tuning } from "./ledger.ts";
import type { SendFrame } from "./send-frame.ts";
import type { StandingsFrame } from "./standings-frame.ts";

/** A part of the buffer that travels with the message. */
export interface Slice {
  readonly from: number;
  readonly to: number;
}

interface Timed {
  readonly queue: QueueId;
  /** When it was asked, by the engine's clock. */
  readonly now: EpochMs;
}

/** Unlike all others it travels as bytes: see send-frame.ts. */
export interface SendMessage extends SendFrame {
  readonly op: "send";
}

export interface LeaseMessage extends Timed {
  readonly op: "lease";
  readonly max: number;
  readonly window: BatchWindow | undefined;
  readonly visibility: Milliseconds;
  readonly holder: Holder;
  readonly durable: boolean;
}

export interface SettleMessage extends Timed, Required<SettleRequest> {
  readonly op: "settle";
  /**
   * Leases to acknowledge, before `each`, with a space between two; empty: none. A hundred of them take 9 to 18 µs from one thread
   * to the other as one text, and 87 µs as objects.
   */
  readonly acks: string;
}

export interface ExtendMessage extends Timed {
  readonly op: "extend";
  readonly leases: readonly LeaseId[];
  readonly endsAt: EpochMs;
}

export interface ExpiredLeasesMessage extends Timed {
  readonly op: "expiredLeases";
  readonly limit: number;
}

export interface PeekMessage extends Timed {
  readonly op: "peek";
  readonly max: number;
  readonly after: MessageRef | undefined;
}

export interface PurgeMessage extends Timed {
  readonly op: "purge";
}

export interface PurgeByRefMessage extends Timed {
  readonly op: "purgeByRef";
  readonly refs: readonly MessageRef[];
}

export interface MetricsMessage extends Timed {
  readonly op: "metrics";
}

export interface VerifyMessage extends Timed {
  readonly op: "verify";
  /** Whether this is the first slice of a recount; one that runs is given up. */
  readonly begin: boolean;
}

/** Before a resend: whether what it looks through is ready to be looked through. */
export interface IndexIdsMessage {
  readonly op: "indexIds";
  readonly now: EpochMs;
  /** The oldest send time among the messages. */
  readonly since: EpochMs;
}

export interface SweepMessage extends Timed {
  readonly op: "sweep";
  readonly storedBefore: EpochMs;
  readonly limit: number;
}

/** How far a copy of the whole database is. */
export type CopyState =
  | { readonly kind: "copying"; readonly copiedPages: number; readonly totalPages: number }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly failure: Failure };

export interface CommitMessage {
  readonly op: "commit";
  readonly expectedRevision: number;
  /** Values as JSON text. */
  readonly operations: readonly StoredOperation[];
  readonly audit: readonly StoredAudit[];
}

export type StoredOperation =
  | { readonly kind: "put"; readonly record: StoredRecord }
  | Exclude<CatalogOperation, { readonly kind: "put" }>;

export interface StoredRecord {
  readonly kind: string;
  readonly key: string;
  readonly json: string;
}

export type StoredAudit = Omit<AuditEntry, "details"> & { readonly json: string };

export type Request =
  | SendMessage
  | LeaseMessage
  | SettleMessage
  | ExtendMessage
  | ExpiredLeasesMessage
  | PeekMessage
  | PurgeMessage
  | PurgeByRefMessage
  | MetricsMessage
  | VerifyMessage
  | IndexIdsMessage
  | SweepMessage
  | CommitMessage
  | { readonly op: "releaseHolder"; readonly holder: Holder; readonly now: EpochMs }
  | { readonly op: "holders" }
  | { readonly op: "survey"; readonly now: EpochMs }
  /** Begins to copy into a file, once the group is over. One copy at a time. */
  | { readonly op: "beginCopy"; readonly target: string }
  | { readonly op: "copyState" }
  | { readonly op: "endCopy" }
  | { readonly op: "loadCatalog" }
  | { readonly op: "readAudit"; readonly limit: number; readonly before: number | undefined }
  | { readonly op: "putBlob"; readonly key: string; readonly bytes: Slice }
  | { readonly op: "getBlob"; readonly key: string }
  | { readonly op: "keepBlobs"; readonly keep: ReadonlySet<string> };

/** A leased batch: see leased-frame.ts. */
export interface LeasedFrame {
  readonly batch: number;
  readonly count: number;
  /** Where in the answer's buffer it begins. */
  readonly from: number;
}

export interface Results {
  /** Of a resend: how many messages were there already. */
  readonly send: number | undefined;
  /** `undefined`: nothing is leased. */
  readonly lease: LeasedFrame | undefined;
  readonly settle: { readonly done: number; readonly late: readonly LeaseId[]; readonly stale: readonly LeaseId[] };
  readonly extend: { readonly stale: readonly LeaseId[] };
  readonly expiredLeases: readonly {
    readonly batch: number;
    readonly position: number;
    readonly id: string;
    readonly attempts: number;
  }[];
  readonly peek: readonly {
    readonly record: Slice;
    readonly attempts: number;
    readonly position: number;
    readonly state: "ready" | "delayed" | "leased";
    readonly until: EpochMs | undefined;
  }[];
  readonly purge: { readonly purged: number };
  readonly purgeByRef: { readonly purged: number; readonly unknown: readonly MessageRef[] };
  readonly metrics: Omit<QueueMetrics, "queue">;
  /** `lost`: memory was read again, or the queue purged: it has to begin anew. */
  readonly verify: Recount | "more" | "lost";
  /** True: there is more to read, ask again. */
  readonly indexIds: boolean;
  readonly sweep: { readonly expired: number; readonly more: boolean; readonly nextStoredAt: EpochMs | undefined };
  readonly commit: number;
  readonly releaseHolder: number;
  readonly holders: readonly Holder[];
  readonly survey: readonly QueueSurvey[];
  readonly beginCopy: undefined;
  /** Of the newest copy. */
  readonly copyState: CopyState;
  readonly endCopy: undefined;
  readonly loadCatalog: { readonly revision: number; readonly records: readonly StoredRecord[] };
  readonly readAudit: readonly (StoredAudit & { readonly number: number })[];
  readonly putBlob: undefined;
  readonly getBlob: Slice | undefined;
  readonly keepBlobs: number;
}

export type Operation = Request["op"];
export type RequestOf<O extends Operation> = Extract<Request, { readonly op: O }>;

export interface Failure {
  readonly code: ErrorCode;
  readonly detail: string;
}

/** `done`: it succeeded and there is nothing to tell. */
export type Answer = typeof done | { readonly result: unknown } | { readonly failure: Failure };
export const done = 0;

/** Sends whose frames follow one another from `at` on: in the shared memory, or in the message's `bytes`. */
export interface Sends {
  readonly sends: number;
  readonly at: number;
  readonly isShared: boolean;
}

export type Step = Sends | Exclude<Request, SendMessage>;

/**
 * What is asked in one lane is answered in the order in which it was asked. `swift`: answered without waiting for the disk, before
 * what shares a group with it.
 */
export type Lane = "swift" | "synced";

export function laneOf(request: Request): Lane {
  return (request.op === "lease" || request.op === "settle") && !request.durable ? "swift" : "synced";
}

export interface RequestMessage {
  readonly kind: "requests";
  readonly steps: readonly Step[];
  readonly bytes: Uint8Array | undefined;
}

export type ToThread = RequestMessage | { readonly kind: "close" };

export type FromThread =
  | { readonly kind: "opened" }
  | {
      readonly kind: "answers";
      readonly lane: Lane;
      readonly answers: readonly Answer[];
      readonly standings: StandingsFrame;
      readonly bytes: Uint8Array | undefined;
    }
  | {
      readonly kind: "event";
      readonly level: "info" | "warn" | "error";
      readonly event: string;
      readonly fields: Record<string, unknown>;
    }
  /** The thread ends; whatever was not answered may have happened or not. */
  | { readonly kind: "failed"; readonly failure: Failure };

/** What the thread is started with. */
export interface ThreadStart {
  /** Where frames of sends travel. */
  readonly shared: SharedArrayBuffer;
  readonly folder: string;
  readonly tuning: Tuning;
}
