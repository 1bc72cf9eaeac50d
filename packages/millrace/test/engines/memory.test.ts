// The memory engine against the conformance suite.

import { openMemoryEngine } from "../../src/engines/memory/index.ts";
import { engineConformance } from "./conformance.ts";
import type { OpenedEngine } from "./harness.ts";

engineConformance({
  name: "memory",
  durable: false,
  create: async (clock) => {
    const engine = await openMemoryEngine({ clock });
    return {
      engine,
      reopen: async (): Promise<OpenedEngine> => Promise.reject(new Error("not durable")),
      destroy: async () => {},
    };
  },
});
