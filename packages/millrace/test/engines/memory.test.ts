// The memory engine against the conformance suite.

import { openMemoryEngine } from "../../src/engines/memory/index.ts";
import { engineConformance } from "./conformance.ts";
import { notDurable } from "./harness.ts";

engineConformance({
  name: "memory",
  durable: false,
  create: async (clock) => {
    const engine = await openMemoryEngine({ clock });
    return { engine, ...notDurable, destroy: async () => {} };
  },
});
