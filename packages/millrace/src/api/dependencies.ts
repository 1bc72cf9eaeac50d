// What the API needs from the rest of the server.

import type { Clock, Logger, Random, StorageEngine } from "../core/index.ts";
import type { Backups, Broker, ControlPlane, Intake } from "../broker/index.ts";
import type { DeployTarget } from "./deploy-target.ts";
import type { Readiness } from "./health.ts";
import type { Authenticate } from "./principal.ts";

export interface ApiDependencies {
  readonly controlPlane: ControlPlane;
  readonly intake: Intake;
  readonly engine: StorageEngine;
  readonly broker: Pick<Broker, "pulls" | "purges" | "loopOf">;
  readonly backups: Pick<Backups, "start" | "status" | "read" | "discard">;
  readonly host: DeployTarget;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** 32 hex digits; every path names it. */
  readonly accountId: string;
  readonly authenticate: Authenticate;
  /** Control-plane requests a token may make in five minutes; absent: as many as it likes. */
  readonly requestLimit?: number | undefined;
  /** The server's own, for the OpenAPI document. */
  readonly version?: string;
  /** What keeps the server from serving, in words; absent: nothing ever does. */
  readonly notReady?: Readiness;
}
