// What travels between the server's thread and the store thread. One message carries many requests, or all their answers; bodies
// travel in one buffer beside them, which changes hands instead of being copied.

import type {
  Accounting,
  AuditEntry,
  Backlog,
  BatchWindow,
  CatalogOperation,
  EpochMs,
  ErrorCode,
  Holder,
  LeaseId,
  MessageRef,
  Milliseconds,
  QueueId,
  QueueSurvey,
  Readiness,
  SettleRequest,
} from "../../core/index.ts";
import type { Tuning } from "./ledger.ts";

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

export interface SendMessage extends Timed {
  readonly op: "send";
  readonly resend: boolean;
  /** Records, each behind its length (u32). */
  readonly records: Slice;
  /** First moment of delivery of each; 0: at once. `undefined`: all at once. */
  readonly visibleAt: readonly number[] | undefined;
}

export interface LeaseMessage extends Timed {
  readonly op: "lease";
  readonly max: number;
  readonly window: BatchWindow | undefined;
  readonly visibility: Milliseconds;
  readonly holder: Holder;
}

export interface SettleMessage extends Timed, SettleRequest {
  readonly op: "settle";
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

export interface SweepMessage extends Timed {
  readonly op: "sweep";
  readonly storedBefore: EpochMs;
  readonly limit: number;
}

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
  | SweepMessage
  | CommitMessage
  | { readonly op: "releaseHolder"; readonly holder: Holder; readonly now: EpochMs }
  | { readonly op: "holders" }
  | { readonly op: "survey"; readonly now: EpochMs }
  | { readonly op: "loadCatalog" }
  | { readonly op: "readAudit"; readonly limit: number; readonly before: number | undefined }
  | { readonly op: "putBlob"; readonly key: string; readonly bytes: Slice }
  | { readonly op: "getBlob"; readonly key: string }
  | { readonly op: "keepBlobs"; readonly keep: ReadonlySet<string> };

/** One message as it is answered: its record is in the buffer. */
export interface RecordAnswer {
  readonly record: Slice;
  readonly attempts: number;
}

export interface Results {
  readonly send: undefined;
  readonly lease: {
    readonly batch: number | undefined;
    readonly messages: readonly (RecordAnswer & { readonly position: number })[];
  };
  readonly settle: { readonly done: number; readonly late: readonly LeaseId[]; readonly stale: readonly LeaseId[] };
  readonly extend: { readonly stale: readonly LeaseId[] };
  readonly expiredLeases: readonly {
    readonly batch: number;
    readonly position: number;
    readonly id: string;
    readonly attempts: number;
  }[];
  readonly peek: readonly (RecordAnswer & {
    readonly position: number;
    readonly state: "ready" | "delayed" | "leased";
    readonly until: EpochMs | undefined;
  })[];
  readonly purge: { readonly purged: number };
  readonly purgeByRef: { readonly purged: number; readonly unknown: readonly MessageRef[] };
  readonly metrics: { readonly backlog: Backlog; readonly readiness: Readiness; readonly accounting: Accounting };
  readonly sweep: { readonly expired: number; readonly more: boolean; readonly nextStoredAt: EpochMs | undefined };
  readonly commit: number;
  readonly releaseHolder: number;
  readonly holders: readonly Holder[];
  readonly survey: readonly QueueSurvey[];
  readonly loadCatalog: { readonly revision: number; readonly records: readonly StoredRecord[] };
  readonly readAudit: readonly (StoredAudit & { readonly number: number })[];
  readonly putBlob: undefined;
  readonly getBlob: Slice | undefined;
  readonly keepBlobs: number;
}

export type Operation = Request["op"];
export type RequestOf<O extends Operation> = Extract<Request, { readonly op: O }>;

/** How a queue stands after the transaction. */
export interface Standing {
  readonly queue: QueueId;
  readonly backlog: Backlog;
  readonly readiness: Readiness;
  /** Whether something in it may have become leasable. */
  readonly isWoken: boolean;
}

export interface Failure {
  readonly code: ErrorCode;
  readonly detail: string;
}

export type Answer = { readonly result: unknown } | { readonly failure: Failure };

export interface RequestMessage {
  readonly kind: "requests";
  readonly requests: readonly Request[];
  readonly bytes: Uint8Array | undefined;
}

export type ToThread = RequestMessage | { readonly kind: "close" };

export type FromThread =
  | { readonly kind: "opened" }
  | {
      readonly kind: "answers";
      readonly answers: readonly Answer[];
      readonly standings: readonly Standing[];
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
  readonly folder: string;
  readonly tuning: Tuning;
}
