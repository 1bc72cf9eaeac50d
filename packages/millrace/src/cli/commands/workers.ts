// `millrace workers list`, `info`, `rollback` and `delete`; the log stands in worker-logs.ts, ports in worker-ports.ts.

import type { Command } from "commander";
import { z } from "zod";
import { hostedWorkerView } from "../../contract/rest/index.ts";
import type { QueueView } from "../../contract/rest/index.ts";
import { nearest } from "../../config/index.ts";
import { plural } from "../../observability/index.ts";
import { clientAction } from "../client-command.ts";
import type { Outcome } from "../client-command.ts";
import { CommandFailure } from "../command-failure.ts";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { listQueues } from "../queue-lookup.ts";
import { RestFailure } from "../rest-client.ts";
import type { RestClient } from "../rest-client.ts";
import { facts, table, when } from "../tables.ts";
import { longConsumer } from "./queue-inspection.ts";
import { addWorkerLogs } from "./worker-logs.ts";
import { addWorkerListen, portText } from "./worker-ports.ts";

const scriptList = z.array(z.looseObject({ id: z.string(), modified_on: z.string() }));

const hostedList = z.array(hostedWorkerView);
type HostedWorker = z.infer<typeof hostedWorkerView>;

const deploymentList = z.looseObject({
  deployments: z.array(
    z.looseObject({
      id: z.string(),
      created_on: z.string(),
      versions: z.array(z.looseObject({ version_id: z.string(), percentage: z.number() })),
    }),
  ),
});

type Deployment = z.infer<typeof deploymentList>["deployments"][number];

export function addWorkers(program: Command, context: CommandContext): void {
  const workers = program
    .command("workers")
    .summary("look at hosted Workers, follow their logs, roll back, delete")
    .description(
      "Works with the Workers of a running server. Deploy them with `millrace wrangler deploy` or `millrace dev`.",
    );
  examples(workers, ["millrace workers list"], ["millrace workers logs my-app"], ["millrace workers rollback my-app"]);

  const list = workers.command("list").description("Lists all hosted Workers.");
  clientAction(list, context, listWorkers);
  examples(list, ["millrace workers list"]);

  const info = workers
    .command("info")
    .description("Shows one Worker: its versions, what it sends to and receives from.")
    .argument("<name>", "the Worker's name");
  clientAction(info, context, showWorker);
  examples(info, ["millrace workers info my-app"]);

  addWorkerLogs(workers, context);
  addWorkerListen(workers, context);

  const rollback = workers
    .command("rollback")
    .description("Runs the version before the present one again, or the one named.")
    .argument("<name>", "the Worker's name")
    .option("--to <version-id>", "the version to run (default: the one that ran before)");
  clientAction(rollback, context, rollBack);
  examples(rollback, ["millrace workers rollback my-app"]);

  const remove = workers
    .command("delete")
    .description("Deletes a Worker. Its queues and their messages stay.")
    .argument("<name>", "the Worker's name")
    .option("--force", "even if it consumes queues");
  clientAction(remove, context, deleteWorker);
  examples(remove, ["millrace workers delete my-app"]);
}

const consumesOf = (queues: readonly QueueView[], name: string): readonly QueueView[] =>
  queues.filter(({ consumers }) =>
    consumers.some(({ script, script_name: other }) => script === name || other === name),
  );
const producesTo = (queues: readonly QueueView[], name: string): readonly QueueView[] =>
  queues.filter(({ producers }) => producers.some(({ script }) => script === name));
const names = (queues: readonly QueueView[]): string => queues.map(({ queue_name }) => queue_name).join(", ");

async function listWorkers(client: RestClient): Promise<Outcome> {
  const [all, hosted, queues] = await Promise.all([
    client.call("GET", "/workers/scripts", scriptList),
    client.call("GET", "/millrace/workers", hostedList),
    listQueues(client),
  ]);
  const stateOf = (name: string): HostedWorker | undefined => hosted.find((worker) => worker.name === name);
  return {
    json: all.map((script) => ({ ...script, hosted: stateOf(script.id) })),
    people: () =>
      all.length === 0
        ? "There is no Worker yet. Deploy one: millrace wrangler deploy, or millrace dev in its folder."
        : table(
            ["NAME", "STATE", "URL", "OWN PORT", "CHANGED", "SENDS TO", "CONSUMES"],
            all.map(({ id, modified_on: changed }) => [
              id,
              stateOf(id)?.state ?? "not-deployed",
              stateOf(id)?.url ?? "",
              stateOf(id)?.listen?.open === false ? "not open" : (stateOf(id)?.listen?.url ?? ""),
              when(Date.parse(changed)),
              names(producesTo(queues, id)),
              names(consumesOf(queues, id)),
            ]),
          ),
  };
}

async function readDeployments(client: RestClient, name: string): Promise<Deployment[]> {
  try {
    return (await client.call("GET", `/workers/scripts/${encodeURIComponent(name)}/deployments`, deploymentList))
      .deployments;
  } catch (error) {
    if (!(error instanceof RestFailure) || error.status !== 404) throw error;
    const known = (await client.call("GET", "/workers/scripts", scriptList)).map(({ id }) => id);
    const meant = nearest(name, known);
    const hint = meant === undefined ? "`millrace workers list` shows what exists." : `Did you mean ${meant}?`;
    throw new CommandFailure(`Worker "${name}" does not exist. ${hint}`, { cause: error });
  }
}

async function showWorker(client: RestClient, _options: object, name: string): Promise<Outcome> {
  const deployments = await readDeployments(client, name);
  const queues = await listQueues(client);
  const hosted = await client.call("GET", `/millrace/workers/${encodeURIComponent(name)}`, hostedWorkerView);
  const consumed = consumesOf(queues, name);
  return {
    json: {
      name,
      hosted,
      deployments,
      consumes: consumed,
      produces: producesTo(queues, name).map((queue) => queue.queue_name),
    },
    people: () =>
      facts([
        ["Name", name],
        ["State", stateText(hosted)],
        ["Url", hosted.url],
        ["Own port", portText(hosted)],
        ["Last error", hosted.last_error],
        ...deployments
          .slice(0, 10)
          .map((deployment, index) => [index === 0 ? "Running" : "Before", deploymentText(deployment)] as const),
        ["Running", deployments.length === 0 ? "nothing: uploaded, never deployed" : undefined],
        ["Sends to", names(producesTo(queues, name)) || "no queue"],
        ...consumed.flatMap(({ queue_name: queue, consumers }) =>
          consumers.map((consumer) => ["Consumes", `${queue}: ${longConsumer(consumer)}`] as const),
        ),
        ["Consumes", consumed.length === 0 ? "no queue" : undefined],
      ]),
  };
}

function stateText({ state, pid, restarts, in_flight: busy }: HostedWorker): string {
  const parts = [state, pid === undefined ? "" : `process ${pid}`, `${busy} in flight`, plural(restarts, "restart")];
  return parts.filter((part) => part !== "").join(", ");
}

const deploymentText = ({ versions, created_on: created }: Deployment): string =>
  `${versions.map(({ version_id: id }) => id).join(", ")}, since ${when(Date.parse(created))}`;

async function rollBack(client: RestClient, { to }: { readonly to?: string }, name: string): Promise<Outcome> {
  const deployments = await readDeployments(client, name);
  const running = deployments[0]?.versions[0]?.version_id;
  const versionId = to ?? deployments.map(({ versions }) => versions[0]?.version_id).find((id) => id !== running);
  if (versionId === undefined) throw new CommandFailure(`Worker "${name}" has no version before the running one.`);
  const created = await client.call(
    "POST",
    `/workers/scripts/${encodeURIComponent(name)}/deployments`,
    z.looseObject({}),
    {
      strategy: "percentage",
      versions: [{ version_id: versionId, percentage: 100 }],
      annotations: { "workers/message": "Rollback" },
    },
  );
  return { json: created, people: () => `${name} runs version ${versionId} again.` };
}

async function deleteWorker(
  client: RestClient,
  { force }: { readonly force?: boolean },
  name: string,
): Promise<Outcome> {
  await readDeployments(client, name);
  const consumed = consumesOf(await listQueues(client), name);
  if (consumed.length > 0 && force !== true) {
    throw new CommandFailure(
      `Worker "${name}" consumes ${names(consumed)}; without it messages wait there. Add --force to delete it.`,
    );
  }
  await client.call("DELETE", `/workers/services/${encodeURIComponent(name)}?force=${force === true}`, z.unknown());
  return { json: { deleted: name }, people: () => `Deleted Worker ${name}.` };
}
