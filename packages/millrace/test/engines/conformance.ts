// What every storage engine means, whatever it stores in: the promises of core/ports.ts and core/catalog-store.ts, tried.

import { catalogConformance } from "./conformance/catalog.ts";
import { leasingConformance } from "./conformance/leasing.ts";
import { lookingConformance } from "./conformance/looking.ts";
import { restartingConformance } from "./conformance/restarting.ts";
import { sendingConformance } from "./conformance/sending.ts";
import { settlingConformance } from "./conformance/settling.ts";
import { verifyingConformance } from "./conformance/verifying.ts";
import type { EngineUnderTest } from "./harness.ts";

export function engineConformance(engine: EngineUnderTest): void {
  sendingConformance(engine);
  leasingConformance(engine);
  settlingConformance(engine);
  lookingConformance(engine);
  verifyingConformance(engine);
  catalogConformance(engine);
  restartingConformance(engine);
}
