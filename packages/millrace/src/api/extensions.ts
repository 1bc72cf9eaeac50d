// What Millrace has beyond Cloudflare: why nothing is moving, intake limits of a queue, dead letters moved back, how the hosted
// Workers are doing.

import { z } from "zod";
import { explain, MillraceError } from "../core/index.ts";
import type { QueueRecord, WorkerName, WorkerRecord } from "../core/index.ts";
import {
  gatherQueueFacts,
  listenWorker,
  redrive,
  redriveTarget,
  requireFreePort,
  updateQueue,
} from "../broker/index.ts";
import type { WorkerCondition } from "../broker/index.ts";
import { parseIntakeLimits, parseQueueName } from "../contract/index.ts";
import {
  explanationView,
  hostedWorkerView,
  intakeLimitsBody,
  intakeLimitsView,
  listenBody,
  redriveBody,
  redriveCount,
  redriveResult,
} from "../contract/rest/index.ts";
import type { ApiDependencies } from "./dependencies.ts";
import type { DeployTarget } from "./deploy-target.ts";
import { requireQueue } from "./principal.ts";
import type { Principal } from "./principal.ts";
import { existingQueueOf } from "./queue-parameter.ts";
import { isoTime } from "./queue-view.ts";
import { defineRoute } from "./route.ts";
import type { Route } from "./route.ts";
import { existingWorkerOf } from "./workers/worker-parameter.ts";

const tag = "Millrace";

export function extensionRoutes({ controlPlane, engine, broker, host, clock }: ApiDependencies): Route[] {
  const condition = (worker: WorkerName): WorkerCondition => conditionOf(host, worker);
  const targetOf = (from: QueueRecord, name: string | undefined, principal: Principal): QueueRecord => {
    const { view } = controlPlane;
    const target = name === undefined ? redriveTarget(view, from) : view.queueByName(parseQueueName(name));
    if (target === undefined) throw new MillraceError("QUEUE_NOT_FOUND", `target_queue: queue ${name} does not exist`);
    requireQueue(principal, target);
    return target;
  };
  return [
    defineRoute({
      id: "explainQueue",
      method: "GET",
      path: "/millrace/queues/{queue_id}/explain",
      tag,
      summary: "Why nothing is moving, in words, and what to do",
      needs: "queues:read",
      result: explanationView,
      handle: async ({ params, principal }) => {
        const { id } = existingQueueOf(controlPlane.view, params, principal);
        const facts = await gatherQueueFacts({ engine, controlPlane, broker, clock, condition }, id);
        const findings = explain(facts).map(({ code, text, remedy }) => {
          return remedy === undefined ? { code, text } : { code, text, remedy };
        });
        return { result: { queue_name: facts.queue, findings } };
      },
    }),
    defineRoute({
      id: "getIntakeLimits",
      method: "GET",
      path: "/millrace/queues/{queue_id}/limits",
      tag,
      summary: "How much a queue takes in",
      needs: "queues:read",
      result: intakeLimitsView,
      handle: ({ params, principal }) => ({
        result: showLimits(existingQueueOf(controlPlane.view, params, principal)),
      }),
    }),
    defineRoute({
      id: "patchIntakeLimits",
      method: "PATCH",
      path: "/millrace/queues/{queue_id}/limits",
      tag,
      summary: "Change how much a queue takes in",
      needs: "queues:write",
      body: intakeLimitsBody,
      diagnose: () => "QUEUE_SETTINGS_INVALID",
      result: intakeLimitsView,
      handle: async ({ params, body, principal }) => {
        const { id } = existingQueueOf(controlPlane.view, params, principal);
        const intakeLimits = parseIntakeLimits(body);
        const record = await controlPlane.change(principal.name, (view, context) =>
          updateQueue(view, context, { id, intakeLimits }),
        );
        return { result: showLimits(record) };
      },
    }),
    defineRoute({
      id: "redriveQueue",
      method: "POST",
      path: "/millrace/queues/{queue_id}/redrive",
      tag,
      summary: "Move messages of a dead letter queue back to a queue, oldest first",
      needs: "queues:write",
      body: redriveBody,
      result: redriveResult,
      handle: async ({ params, body, principal, goneOrStopping }) => {
        const from = existingQueueOf(controlPlane.view, params, principal);
        const to = targetOf(from, body?.target_queue, principal);
        const max = body?.max ?? redriveCount.default;
        const request = { from: from.id, to: to.id, max, signal: goneOrStopping() };
        const { moved, left } = await redrive({ engine, controlPlane }, request);
        return { result: { target_queue: to.name, moved, backlog_count: left } };
      },
    }),
    defineRoute({
      id: "listHostedWorkers",
      method: "GET",
      path: "/millrace/workers",
      tag,
      summary: "How the Workers hosted by this server are doing",
      needs: "workers:write",
      result: z.array(hostedWorkerView),
      handle: () => ({ result: controlPlane.view.all("worker").map((worker) => showHosted(host, worker)) }),
    }),
    defineRoute({
      id: "getHostedWorker",
      method: "GET",
      path: "/millrace/workers/{script_name}",
      tag,
      summary: "How a Worker hosted by this server is doing",
      needs: "workers:write",
      result: hostedWorkerView,
      handle: ({ params }) => ({ result: showHosted(host, existingWorkerOf(controlPlane.view, params)) }),
    }),
    defineRoute({
      id: "putWorkerPort",
      method: "PUT",
      path: "/millrace/workers/{script_name}/listen",
      tag,
      summary: "Give a Worker a port of its own, which its process listens on itself",
      needs: "workers:write",
      body: listenBody,
      result: hostedWorkerView,
      handle: async ({ params, body, principal }) => {
        const worker = existingWorkerOf(controlPlane.view, params);
        const { name } = worker;
        requireFreePort(controlPlane.view, name, body.port);
        await using reservation = await host.reservePort(name, { host: body.host ?? "127.0.0.1", port: body.port });
        const listen = reservation.address;
        await controlPlane.change(principal.name, (view, context) => listenWorker(view, context, { name, listen }));
        return { result: showHosted(host, worker) };
      },
    }),
    defineRoute({
      id: "deleteWorkerPort",
      method: "DELETE",
      path: "/millrace/workers/{script_name}/listen",
      tag,
      summary: "Take a Worker's own port away",
      needs: "workers:write",
      result: hostedWorkerView,
      handle: async ({ params, principal }) => {
        const worker = existingWorkerOf(controlPlane.view, params);
        const { name } = worker;
        await controlPlane.change(principal.name, (view, context) =>
          listenWorker(view, context, { name, listen: undefined }),
        );
        return { result: showHosted(host, worker) };
      },
    }),
  ];
}

function conditionOf(host: DeployTarget, worker: WorkerName): WorkerCondition {
  const status = host.describe(worker);
  if (status === undefined || status.state === "stopped") return { state: "notDeployed", detail: undefined };
  const { state, lastError } = status;
  return { state: state === "restarting" ? "starting" : state, detail: state === "ready" ? undefined : lastError };
}

function showLimits({ backlog_limit_bytes, messages_per_second }: QueueRecord): z.input<typeof intakeLimitsView> {
  return { backlog_limit_bytes, messages_per_second };
}

function showHosted(host: DeployTarget, { name }: WorkerRecord): z.input<typeof hostedWorkerView> {
  const status = host.describe(name);
  const own = host.portOf(name);
  const listen =
    own === undefined ? undefined : { ...own.address, url: own.url, open: own.isOpen, problem: own.problem };
  if (status === undefined) return { name, state: "not-deployed", restarts: 0, in_flight: 0, listen };
  return {
    name,
    state: status.state,
    url: status.url,
    version_id: status.versionId,
    pid: status.pid,
    ready_since: status.readySince === undefined ? undefined : isoTime(status.readySince),
    restarts: status.restarts,
    in_flight: status.inFlight,
    last_error: status.lastError,
    listen,
  };
}
