// What goes wrong between a server and its store, and how long things take. Rolled call by call from the history's seed.

import type { Dice } from "./dice.ts";
import type { Profile } from "./history.ts";
import type { World } from "./world.ts";

export interface CallFate {
  /** How long until the store does it, and how long until the answer is there. */
  readonly thereMs: number;
  readonly backMs: number;
  readonly fails: "not" | "unavailable" | "full" | "replyLost";
}

export type DiskState = "well" | "full" | "unavailable" | "slow";

const smooth: CallFate = { thereMs: 0, backMs: 0, fails: "not" };

export class Faults {
  readonly #world: World;
  readonly #profile: Profile;
  disk: DiskState = "well";

  constructor(world: World, profile: Profile) {
    this.#world = world;
    this.#profile = profile;
  }

  /** `writes`: a full disk refuses it. */
  ofCall(dice: Dice, writes: boolean): CallFate {
    if (this.#world.calm) return smooth;
    const { failBefore, loseReply } = this.#profile;
    const thereMs = this.#takes(dice);
    const backMs = this.#takes(dice);
    const luck = dice.next();
    if (this.disk === "unavailable" || luck < failBefore) return { thereMs, backMs, fails: "unavailable" };
    if (this.disk === "full" && writes) return { thereMs, backMs, fails: "full" };
    return { thereMs, backMs, fails: luck < failBefore + loseReply ? "replyLost" : "not" };
  }

  /** `undefined`: the hint is lost. */
  ofHint(dice: Dice): { readonly delayMs: number; readonly bare: boolean } | undefined {
    if (this.#world.calm) return { delayMs: 0, bare: false };
    if (dice.chance(this.#profile.lostHints)) return undefined;
    return { delayMs: this.#takes(dice), bare: dice.chance(this.#profile.bareHints) };
  }

  #takes(dice: Dice): number {
    const { storeMs, slowStore, slowStoreMs } = this.#profile;
    if (this.disk === "slow") return dice.between(500, 5_000);
    return dice.chance(slowStore) ? dice.between(0, slowStoreMs) : dice.between(0, storeMs);
  }
}
