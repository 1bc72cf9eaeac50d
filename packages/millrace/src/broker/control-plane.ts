// The one way to change the catalog: decide on a snapshot, commit against its revision, decide again when somebody was first.

import { CatalogView, isMillraceError, MillraceError, toHex } from "../core/index.ts";
import type { AuditEntry, CatalogOperation, CatalogStore, Clock, EpochMs, Random } from "../core/index.ts";

/** What a decision wants to happen. No operations: nothing is committed and nothing is audited. */
export interface CatalogDecision<T> {
  readonly operations: readonly CatalogOperation[];
  readonly audit: readonly Omit<AuditEntry, "at" | "actor">[];
  readonly result: T;
}

/** Facts a decision may use beside the snapshot. */
export interface DecisionContext {
  readonly now: EpochMs;
  /** A new id of 32 hex digits at each call. */
  readonly newId: () => string;
}

const maxConflicts = 20;

export class ControlPlane implements Disposable {
  readonly #store: CatalogStore;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #listeners = new Set<(view: CatalogView) => void>();
  readonly #unsubscribe: () => void;
  #view = CatalogView.of({ revision: 0, records: [] });
  /** Something may have changed that `#view` does not show: a load or a commit failed. */
  #isBehind = false;
  /** Mutations of this server run one after the other; conflicts can then only come from other servers. */
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(store: CatalogStore, clock: Clock, random: Random) {
    this.#store = store;
    this.#clock = clock;
    this.#random = random;
    this.#unsubscribe = store.onChange((revision) => {
      if (revision <= this.#view.revision) return;
      // When its turn comes, a change of this server's own is shown already. A failed refresh is made up for by `catchUp`, or by
      // the next change: the stored revision decides, not this copy.
      void this.#exclusively(async () => {
        if (revision > this.#view.revision) await this.#refresh();
      }).catch(() => undefined);
    });
  }

  /** Listens before it loads, so that a change between the two is not missed. */
  static async open(store: CatalogStore, clock: Clock, random: Random): Promise<ControlPlane> {
    const controlPlane = new ControlPlane(store, clock, random);
    try {
      await controlPlane.#exclusively(async () => await controlPlane.#refresh());
    } catch (error) {
      controlPlane[Symbol.dispose]();
      throw error;
    }
    return controlPlane;
  }

  /** The newest snapshot this server knows. */
  get view(): CatalogView {
    return this.#view;
  }

  /**
   * Decides and commits. `decide` must be pure: it may run again on a newer snapshot. Its errors pass through.
   * `actor` is who wants it, for the audit log. Answers once the change is on disk and `view` shows it.
   */
  async change<T>(
    actor: string,
    decide: (view: CatalogView, context: DecisionContext) => CatalogDecision<T>,
  ): Promise<T> {
    return await this.#exclusively(async () => {
      for (let conflicts = 0; ; conflicts += 1) {
        const view = this.#view;
        const now = this.#clock.now();
        const decision = decide(view, { now, newId: () => toHex(this.#random.bytes(16)) });
        if (decision.operations.length === 0) return decision.result;
        try {
          const revision = await this.#store.commit({
            expectedRevision: view.revision,
            operations: decision.operations,
            audit: decision.audit.map((entry) => ({ ...entry, at: now, actor })),
          });
          this.#show(view.with(decision.operations, revision));
          return decision.result;
        } catch (error) {
          this.#isBehind = true;
          if (!isMillraceError(error, "CATALOG_CONFLICT")) throw error;
          if (conflicts >= maxConflicts)
            throw new MillraceError("CATALOG_CONFLICT", "The settings kept changing", { cause: error });
          await this.#refresh();
        }
      }
    });
  }

  /**
   * Loads the catalog if a load or a commit failed since the last one, or with `load` in any case: news of another server's change
   * may be lost. Called at intervals. Throws what the store throws.
   */
  async catchUp(options: { readonly load: boolean }): Promise<void> {
    if (this.#isBehind || options.load) await this.#exclusively(async () => await this.#refresh());
  }

  /** Calls back after every change, with the new snapshot. Returns the way to stop listening. */
  onChange(listener: (view: CatalogView) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
    this.#listeners.clear();
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => undefined);
    return await turn;
  }

  async #refresh(): Promise<void> {
    this.#isBehind = true;
    const view = CatalogView.of(await this.#store.load());
    this.#isBehind = false;
    this.#show(view);
  }

  #show(view: CatalogView): void {
    if (view.revision <= this.#view.revision) return;
    this.#view = view;
    for (const listener of this.#listeners) listener(view);
  }
}
