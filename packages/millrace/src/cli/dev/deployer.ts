// Deploys one project to the local server with the project's own wrangler: quiet when it works, its output when it does not.

import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Logger } from "../../core/index.ts";
import { z } from "zod";
import { failureText } from "../command-failure.ts";
import { leftConsumers } from "../left-consumers.ts";
import type { RestClient } from "../rest-client.ts";
import type { Target } from "../target.ts";
import { exitCodeOf, startWrangler, wranglerEnvironment } from "../wrangler/project-wrangler.ts";
import type { ProjectWrangler } from "../wrangler/project-wrangler.ts";
import { createNeededQueues } from "./needed-queues.ts";
import { readProjectConfig } from "./project-config.ts";
import type { ProjectConfig } from "./project-config.ts";

export interface Project {
  /** Absolute path of the wrangler configuration. */
  readonly path: string;
  /** The path as people know it. */
  readonly shown: string;
  readonly wrangler: ProjectWrangler;
  /** As it was when the program started. */
  readonly config: ProjectConfig;
}

export interface DeployContext {
  readonly client: RestClient;
  readonly target: Target & { readonly accountId: string };
  readonly logger: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A wrangler environment. */
  readonly environment: string | undefined;
  /** More arguments for `wrangler deploy`. */
  readonly forwarded: readonly string[];
  /** Where the Worker answers once it is deployed. */
  readonly urlOf: (name: string) => string;
  /** Aborted when nobody waits for the deploy any more. */
  readonly signal: AbortSignal;
}

/** Answers whether it worked; what went wrong is in the log. `file`: what changed. */
export async function deploy(project: Project, context: DeployContext, file: string | undefined): Promise<boolean> {
  const { logger, environment, env, signal } = context;
  const began = performance.now();
  logger.info("dev.deploying", { worker: project.config.name, config: project.shown, file });
  try {
    // Read again: it may be the configuration that changed.
    const config = await readProjectConfig(project.wrangler, project.path, environment, env);
    await createNeededQueues(context.client, config);
    await detachLeftConsumers(project, config, context);
    const { exitCode, output } = await runDeploy(project, context);
    if (signal.aborted) return false;
    if (exitCode === 0) {
      logger.info("dev.deployed", {
        worker: config.name,
        url: context.urlOf(config.name),
        ms: performance.now() - began,
      });
      return true;
    }
    logger.error("dev.failed", {
      message: `wrangler could not deploy ${project.shown}`,
      config: project.shown,
      output,
    });
  } catch (error) {
    const [message, ...more] = failureText(error).split("\n");
    if (!signal.aborted) logger.error("dev.failed", { message, config: project.shown, output: more.join("\n") });
  }
  return false;
}

/**
 * This configuration alone says what its Worker consumes. Before the deploy: a version without a queue handler is refused as long
 * as the Worker consumes.
 */
async function detachLeftConsumers(
  { shown }: Project,
  config: ProjectConfig,
  { client, logger, forwarded }: DeployContext,
): Promise<void> {
  // Then it is another Worker that is deployed.
  if (forwarded.some((argument) => /^(?:--name|--env|-e)(?:=|$)/.test(argument))) return;
  for (const { queueName, path } of await leftConsumers(client, config)) {
    await client.call("DELETE", path, z.unknown());
    logger.info("dev.detached", { worker: config.name, queue: queueName, config: shown });
  }
}

async function runDeploy(
  { wrangler, path }: Project,
  { target, env, environment, forwarded, signal }: DeployContext,
): Promise<{ readonly exitCode: number; readonly output: string }> {
  const args = ["deploy", ...forwarded, "--config", path];
  if (environment !== undefined) args.push("--env", environment);
  const secrets = await secretsFile(dirname(path), environment);
  if (secrets !== undefined && !forwarded.includes("--secrets-file")) args.push("--secrets-file", secrets);
  const child = startWrangler(wrangler, args, {
    cwd: dirname(path),
    env: { ...wranglerEnvironment(target, env), ...quietly },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stop = (): void => void child.kill("SIGTERM");
  signal.addEventListener("abort", stop);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (piece: Buffer) => (output = (output + piece.toString("utf8")).slice(-maxOutput)));
  }
  try {
    const exitCode = await exitCodeOf(child);
    return { exitCode, output: output.trim() };
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Characters of wrangler's output that are kept for the case that it fails. */
const maxOutput = 64_000;

/** No banner and no look at the registry, no questions, nothing sent to anybody. */
const quietly = {
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_WRITE_LOGS: "false",
  NO_COLOR: "1",
  FORCE_COLOR: "0",
};

/** `.dev.vars.<environment>` or `.dev.vars` beside the configuration, as wrangler's own dev server takes them. */
async function secretsFile(folder: string, environment: string | undefined): Promise<string | undefined> {
  const names = environment === undefined ? [".dev.vars"] : [`.dev.vars.${environment}`, ".dev.vars"];
  for (const name of names) {
    const path = join(folder, name);
    const exists = await access(path).then(
      () => true,
      () => false,
    );
    if (exists) return path;
  }
  return undefined;
}
