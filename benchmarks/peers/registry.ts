// All that take part.

import { beanstalkd } from "./beanstalkd.ts";
import { bullmqAlways, bullmqEverySecond } from "./bullmq.ts";
import { graphileWorker } from "./graphile-worker.ts";
import { millraceClient } from "./millrace-client.ts";
import { millraceEmbedded } from "./millrace-embedded.ts";
import { natsJetStream } from "./nats.ts";
import type { Peer } from "./peer.ts";
import { pgBoss } from "./pg-boss.ts";
import { rabbitmq } from "./rabbitmq.ts";

export const peers: readonly Peer[] = [
  millraceClient,
  millraceEmbedded,
  bullmqAlways,
  bullmqEverySecond,
  graphileWorker,
  pgBoss,
  rabbitmq,
  natsJetStream,
  beanstalkd,
];
