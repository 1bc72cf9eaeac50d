// When the server lived, was paused and was killed, and when the process of the consuming Worker was killed.

import type { FaultKind, RecordedFact } from "../facts.ts";
import { serverTarget } from "../facts.ts";

interface Span {
  readonly from: number;
  to: number;
}

/** A report that a handler sent just before its process died may be read a moment later. */
const readingMs = 2_000;
export const consumingWorker = "prove-consumer";

export class Timeline {
  readonly faults: { readonly what: FaultKind; readonly at: number }[] = [];
  /** From the kill of a server to the readiness of the next one. */
  readonly restartsMs: number[] = [];
  /** Deaths of the consuming Worker's process; of one that hung, when that began. */
  readonly consumerKills: { readonly at: number; readonly life: number; readonly hung: boolean }[] = [];
  /** When the faults of the loop were over. */
  readonly calmAt: number;
  readonly #pauses: Span[] = [];
  readonly #downs: Span[] = [];
  readonly #ends = new Map<number, { readonly at: number; readonly how: string }>();

  constructor(facts: readonly RecordedFact[]) {
    this.calmAt = facts.find(({ kind }) => kind === "calm")?.at ?? Number.POSITIVE_INFINITY;
    let killedAt: number | undefined;
    let fault: FaultKind | undefined;
    for (const fact of facts) {
      switch (fact.kind) {
        case "fault":
          this.faults.push(fact);
          fault = fact.what;
          break;
        case "signal":
          if (fact.target === serverTarget) {
            this.#signalServer(fact.signal, fact.at);
            killedAt = fact.signal === "SIGKILL" ? fact.at : undefined;
          } else if (fact.target === consumingWorker) {
            const hung = fault === "hang-consumer";
            if (hung || fact.signal === "SIGKILL") this.consumerKills.push({ at: fact.at, life: fact.life, hung });
          }
          break;
        case "ended":
          this.#ends.set(fact.life, fact);
          break;
        case "ready": {
          if (killedAt !== undefined) this.restartsMs.push(fact.at - killedAt);
          killedAt = undefined;
          const down = this.#downs.at(-1);
          if (down !== undefined) down.to = Math.min(down.to, fact.at);
          break;
        }
        default: // of messages: not told here
      }
    }
  }

  /** How a server's process ended by then; `undefined`: it had not. */
  endOf(life: number, by: number): string | undefined {
    const end = this.#ends.get(life);
    return end !== undefined && end.at <= by ? end.how : undefined;
  }

  /** How often the consuming Worker's process was killed in that time; in one life of the server, or in any. */
  consumerKillsBetween(from: number, to: number, life?: number): number {
    return this.consumerKills.filter(
      (kill) => kill.at >= from - readingMs && kill.at <= to && (life === undefined || kill.life === life),
    ).length;
  }

  /** Whether the server was paused at some time in between. */
  wasPaused(from: number, to: number): boolean {
    return overlaps(this.#pauses, from, to);
  }

  /** Whether there was no server at some time in between. */
  wasDown(from: number, to: number): boolean {
    return overlaps(this.#downs, from, to);
  }

  #signalServer(signal: string, at: number): void {
    const pause = this.#pauses.at(-1);
    if (signal === "SIGSTOP") this.#pauses.push({ from: at, to: Number.POSITIVE_INFINITY });
    else if (pause !== undefined) pause.to = Math.min(pause.to, at);
    if (signal === "SIGKILL" || signal === "SIGTERM") this.#downs.push({ from: at, to: Number.POSITIVE_INFINITY });
  }
}

function overlaps(spans: readonly Span[], from: number, to: number): boolean {
  return spans.some((span) => span.from <= to && span.to >= from);
}
