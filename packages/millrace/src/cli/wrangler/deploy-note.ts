// After `wrangler deploy`: tells which queues still deliver to the Worker though its configuration names them no more.

import { relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { findConfigs } from "../dev/config-discovery.ts";
import { readProjectConfig } from "../dev/project-config.ts";
import { leftConsumers } from "../left-consumers.ts";
import type { RestClient } from "../rest-client.ts";
import type { ProjectWrangler } from "./project-wrangler.ts";

export interface DeployNoteOptions {
  readonly wrangler: ProjectWrangler;
  /** What wrangler was called with. */
  readonly args: readonly string[];
  readonly client: RestClient;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Lines for people; none for commands that deploy nothing, and where the configuration is not found as wrangler finds it. */
export async function deployNotes({ wrangler, args, client, cwd, env }: DeployNoteOptions): Promise<readonly string[]> {
  const deploy = parseDeploy(args);
  if (deploy === undefined) return [];
  const folder = resolve(cwd, deploy.cwd ?? ".");
  const config = await findConfigs(deploy.config === undefined ? [] : [deploy.config], folder).then(
    ([path]) => path,
    () => undefined,
  );
  if (config === undefined) return [];
  const environment = deploy.env ?? env["CLOUDFLARE_ENV"];
  const { name, consumers } = await readProjectConfig(wrangler, config, environment, env);
  const left = await leftConsumers(client, { name: deploy.name ?? name, consumers });
  const shown = relative(cwd, config);
  return left.map(
    ({ queueName }) =>
      `queue ${queueName} still delivers to ${deploy.name ?? name}, though ${shown} does not name it. wrangler leaves it so; ` +
      `to detach it: millrace queues consumer remove ${queueName}`,
  );
}

interface Deploy {
  readonly config: string | undefined;
  readonly env: string | undefined;
  readonly name: string | undefined;
  readonly cwd: string | undefined;
}

/** `undefined`: not a deploy that sets consumers. */
function parseDeploy(args: readonly string[]): Deploy | undefined {
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    options: {
      config: { ...text, short: "c" },
      env: { ...text, short: "e" },
      name: text,
      cwd: text,
      "dry-run": { type: "boolean" },
    },
    strict: false,
  });
  const deploys = positionals[0] === "deploy" || (positionals[0] === "triggers" && positionals[1] === "deploy");
  if (!deploys || values["dry-run"] === true) return undefined;
  const given = (value: string | boolean | undefined): string | undefined =>
    typeof value === "string" ? value : undefined;
  return { config: given(values.config), env: given(values.env), name: given(values.name), cwd: given(values.cwd) };
}
