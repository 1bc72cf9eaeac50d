// The SQLite engine against the conformance suite: as it is, and with folds and reloads all the time.

import { sqliteUnderTest } from "./sqlite-harness.ts";
import { engineConformance } from "./conformance.ts";

engineConformance(sqliteUnderTest("sqlite", {}));
engineConformance(sqliteUnderTest("sqlite, folding all the time", { foldBytes: 100, runsInMemory: 0, partsKept: 0 }));
