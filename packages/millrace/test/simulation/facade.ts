// The store as one run of one server sees it: calls take time, fail before they happened, or happen and lose their answer;
// a server that is killed has no further part in it.

import { isMillraceError, LocalSlots, MillraceError } from "../../src/core/index.ts";
import type {
  CatalogStore,
  EngineCapabilities,
  Holder,
  Readiness,
  QueueId,
  Slot,
  StorageEngine,
} from "../../src/core/index.ts";
import type { Dice } from "./dice.ts";
import type { Faults } from "./faults.ts";
import type { SimulatedProcess } from "./simulated-process.ts";
import type { Store } from "./store.ts";
import { unexpected } from "./violation.ts";
import type { World } from "./world.ts";

export interface FacadeDependencies {
  readonly world: World;
  readonly store: Store;
  readonly process: SimulatedProcess;
  /** The name under which this run leases. */
  readonly holder: Holder;
  readonly faults: Faults;
  readonly dice: Dice;
  /** Several servers: the store is a database of its own, which does what it was asked though the server died meanwhile. */
  readonly shared: boolean;
  readonly inOrder: boolean;
  /** Whether who holds leases under this name is known to be gone. */
  readonly isGone: (holder: Holder) => boolean;
}

type WakeListener = Parameters<StorageEngine["onWake"]>[0];
type SendingListener = Parameters<StorageEngine["onSending"]>[0];

export class Facade implements StorageEngine {
  readonly name = "simulated";
  readonly capabilities: EngineCapabilities;
  readonly catalog: CatalogStore;
  readonly #dependencies: FacadeDependencies;
  /** Places for deliveries are kept by the server itself where it is the only one. */
  readonly #slots: LocalSlots;
  readonly #listeners = new Set<WakeListener>();
  readonly #sendingListeners = new Set<SendingListener>();
  /** Leases asked for by the server's own loops and not answered. */
  openLeases = 0;
  #lastThere = 0;
  #lastBack = 0;

  constructor(dependencies: FacadeDependencies) {
    this.#dependencies = dependencies;
    const { store, world, shared } = dependencies;
    this.capabilities = { durable: true, shared, backup: false };
    this.#slots = new LocalSlots(world);
    this.catalog = this.#catalog();
    store.engine.onWake((queue, readiness) => this.#hint(queue, readiness));
  }

  send: StorageEngine["send"] = async (queue, messages, options) => {
    const askedAt = this.#dependencies.world.mono;
    const sending = this.#write((store) => store.send(queue, messages, options?.resend, askedAt));
    // May come for nothing: the send fails, or whoever leases now comes before it.
    for (const listener of this.#sendingListeners) listener(queue, messages.length);
    return await sending;
  };

  lease: StorageEngine["lease"] = async (queue, request) => {
    const isOfLoop = request.holder === this.#dependencies.holder;
    if (isOfLoop) this.openLeases += 1;
    try {
      return await this.#write((store) => store.lease(this.#dependencies.process, queue, request));
    } finally {
      if (isOfLoop) this.openLeases -= 1;
    }
  };

  settle: StorageEngine["settle"] = async (queue, request) => {
    try {
      return await this.#write((store) => store.settle(queue, request));
    } catch (error) {
      this.#dependencies.store.ledger.settlementFailed(request);
      throw error;
    }
  };

  extend: StorageEngine["extend"] = async (queue, leases, endsAt) =>
    await this.#write((store) => store.extend(queue, leases, endsAt));

  expiredLeases: StorageEngine["expiredLeases"] = async (queue, limit) =>
    await this.#read((store) => store.expiredLeases(queue, limit));

  releaseHolder: StorageEngine["releaseHolder"] = async (holder) =>
    await this.#write((store) => store.releaseHolder(holder, this.#dependencies.isGone(holder)));

  holders: StorageEngine["holders"] = async () => await this.#read(({ engine }) => engine.holders());

  peek: StorageEngine["peek"] = async (queue, options) => await this.#read(({ engine }) => engine.peek(queue, options));

  purge: StorageEngine["purge"] = async (queue, token) =>
    await this.#write((store) => store.purge(this.#dependencies.process, queue, token));

  purgeByRef: StorageEngine["purgeByRef"] = async (queue, refs) =>
    await this.#write((store) => store.purgeByRef(queue, refs));

  metrics: StorageEngine["metrics"] = async (queue) => await this.#read(({ engine }) => engine.metrics(queue));

  verify: StorageEngine["verify"] = async (queue) => await this.#read(({ engine }) => engine.verify(queue));

  backup: StorageEngine["backup"] = async (file) => await this.#dependencies.store.engine.backup(file);

  survey: StorageEngine["survey"] = async () => await this.#read(({ engine }) => engine.survey());

  sweep: StorageEngine["sweep"] = async (queue, storedBefore, limit) => {
    const askedAt = this.#dependencies.world.mono;
    return await this.#write((store) => store.sweep(queue, storedBefore, limit, askedAt));
  };

  acquireSlot: StorageEngine["acquireSlot"] = async (queue, holder, max, ttl) => {
    const { shared } = this.#dependencies;
    if (!shared) return this.#slots.acquire(queue, holder, max, ttl);
    const slot = await this.#write(({ engine }) => engine.acquireSlot(queue, holder, max, ttl));
    if (slot === undefined) return undefined;
    const release = async (): Promise<void> => await this.#write(() => slot.release());
    return { release } satisfies Slot;
  };

  onWake(listener: WakeListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  onSending(listener: SendingListener): () => void {
    this.#sendingListeners.add(listener);
    return () => void this.#sendingListeners.delete(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear();
    this.#sendingListeners.clear();
  }

  #catalog(): CatalogStore {
    const { store, process, dice, faults, shared } = this.#dependencies;
    const { catalog } = store.engine;
    return {
      load: async () => await this.#read(() => catalog.load()),
      commit: async (change) => await this.#write(() => store.commit(change)),
      onChange: (listener) =>
        catalog.onChange((revision) => {
          const hint = faults.ofHint(dice);
          if (hint !== undefined) process.post(hint.delayMs, () => listener(revision));
          // A server alone on its data has its news from itself: there is no way on which it could be lost.
          else if (!shared) process.post(0, () => listener(revision));
        }),
      readAudit: async (options) => await this.#read(() => catalog.readAudit(options)),
      putBlob: async (key, bytes) => await this.#write(() => catalog.putBlob(key, bytes)),
      getBlob: async (key) => await this.#read(() => catalog.getBlob(key)),
      keepBlobs: async (keep) => await this.#write(() => catalog.keepBlobs(keep)),
    };
  }

  #hint(queue: QueueId, readiness: Readiness | undefined): void {
    const { process, faults, dice } = this.#dependencies;
    if (!process.alive || this.#listeners.size === 0) return;
    const hint = faults.ofHint(dice);
    if (hint === undefined) return;
    process.post(this.#back(hint.delayMs), () => {
      for (const listener of this.#listeners) listener(queue, hint.bare ? undefined : readiness);
    });
  }

  async #read<T>(work: (store: Store) => Promise<T>): Promise<T> {
    return await this.#call(false, work);
  }

  async #write<T>(work: (store: Store) => Promise<T>): Promise<T> {
    return await this.#call(true, work);
  }

  async #call<T>(writes: boolean, work: (store: Store) => Promise<T>): Promise<T> {
    const { world, store, process, faults, dice, shared } = this.#dependencies;
    const fate = faults.ofCall(dice, writes);
    if (fate.fails !== "not") process.trouble();
    const outlives = shared && dice.chance(0.5);
    return await new Promise<T>((resolve, reject) => {
      const answer = (settle: () => void): void => {
        world.post(this.#back(fate.backMs), () =>
          process.enter(() => {
            if (fate.fails !== "not") process.trouble();
            process.step();
            process.enter(settle);
          }),
        );
      };
      const happen = (): void => {
        process.step();
        if (!process.alive && !outlives) return;
        if (fate.fails === "unavailable" || fate.fails === "full") {
          const code = fate.fails === "full" ? "STORAGE_FULL" : "UNAVAILABLE";
          answer(() => reject(new MillraceError(code, "The simulated disk does not do it")));
          return;
        }
        work(store).then(
          (result) =>
            answer(() => {
              if (fate.fails === "replyLost") reject(new MillraceError("UNKNOWN_OUTCOME", "The answer was lost"));
              else resolve(result);
            }),
          (error: unknown) => {
            if (!isMillraceError(error)) world.fail(unexpected(error));
            answer(() => reject(error instanceof Error ? error : new Error(String(error))));
          },
        );
      };
      world.post(this.#there(fate.thereMs), () => (shared ? happen() : process.enter(happen)));
    });
  }

  /** How long something takes that may not overtake what was asked before. */
  #there(ms: number): number {
    const { world, inOrder } = this.#dependencies;
    if (!inOrder) return ms;
    this.#lastThere = Math.max(this.#lastThere, world.mono + ms);
    return this.#lastThere - world.mono;
  }

  #back(ms: number): number {
    const { world, inOrder } = this.#dependencies;
    if (!inOrder) return ms;
    this.#lastBack = Math.max(this.#lastBack, world.mono + ms);
    return this.#lastBack - world.mono;
  }
}
