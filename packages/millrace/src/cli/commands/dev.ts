// `millrace dev`: a server for a laptop that hosts the Workers of this project and follows their sources.

import { dirname, relative } from "node:path";
import type { Command } from "commander";
import type { ServerSettings } from "../../config/index.ts";
import type { Logger, WorkerName } from "../../core/index.ts";
import { usageFailure } from "../command-failure.ts";
import type { CommandContext } from "../command-context.ts";
import { openBrowser } from "../dev/browser.ts";
import { findConfigs } from "../dev/config-discovery.ts";
import { createDeployLoop } from "../dev/deploy-loop.ts";
import { deploy } from "../dev/deployer.ts";
import type { Project } from "../dev/deployer.ts";
import { listenToKeys } from "../dev/keys.ts";
import { readProjectConfig } from "../dev/project-config.ts";
import { watchSources } from "../dev/source-watch.ts";
import { examples } from "../help-examples.ts";
import { createRestClient } from "../rest-client.ts";
import { runServer } from "../run-server.ts";
import type { RunningServer } from "../server-port.ts";
import { addSettingOptions, readSettings } from "../setting-options.ts";
import { findWrangler } from "../wrangler/project-wrangler.ts";

interface DevOptions {
  readonly env?: string;
  readonly watch: boolean;
}

export function addDev(program: Command, context: CommandContext, forwarded: readonly string[]): void {
  const dev = program
    .command("dev")
    .summary("host the Workers of this project, redeploy on change")
    .description(
      "Runs a server for this machine, deploys the Workers of the wrangler configurations given with the project's own " +
        "wrangler, and deploys again when a source changes. Secrets come from .dev.vars beside a configuration.",
    )
    .usage("[options] [config...] [-- arguments for wrangler deploy...]")
    .argument("[config...]", "wrangler configurations or their folders (default: the one in this folder)")
    .option("-e, --env <name>", "an environment of the wrangler configurations")
    .option("--no-watch", "deploy once and do not follow the sources");
  addSettingOptions(dev);
  examples(
    dev,
    ["millrace dev", "the Worker of ./wrangler.jsonc, at http://localhost:8787"],
    ["millrace dev shop/wrangler.jsonc mail/wrangler.jsonc", "several Workers"],
    ["millrace dev -- --var MAIL_URL:http://localhost:9025", "arguments for wrangler deploy"],
  );
  dev.action(async (configs: readonly string[], options: DevOptions & Record<string, string | boolean>) => {
    const { env: environment, watch, ...flags } = options;
    context.setExitCode(await runDev(context, { configs, environment, watch, flags, forwarded }));
  });
}

interface DevRun {
  readonly configs: readonly string[];
  readonly environment: string | undefined;
  readonly watch: boolean;
  readonly flags: Readonly<Record<string, string | boolean>>;
  readonly forwarded: readonly string[];
}

async function runDev(context: CommandContext, run: DevRun): Promise<number> {
  const { settings: given, warnings } = readSettings(context, run.flags);
  const projects = await readProjects(context, run);
  const [first] = projects;
  if (first === undefined) throw usageFailure("there is no wrangler configuration to host.");
  // Without a name in the host, the first one answers: the data folder may hold Workers of another day.
  const settings = Object.freeze({ ...given, defaultWorker: given.defaultWorker ?? (first.config.name as WorkerName) });
  return await runServer(context, {
    settings,
    warnings,
    story: true,
    endsWithParent: true,
    beside: async (server, logger, requestStop) =>
      await followProjects(context, { ...run, settings, projects, server, logger, requestStop }),
  });
}

async function readProjects(
  { terminal }: CommandContext,
  { configs, environment }: DevRun,
): Promise<readonly Project[]> {
  const paths = await findConfigs(configs, terminal.cwd);
  return await Promise.all(
    paths.map(async (path) => {
      const wrangler = await findWrangler(dirname(path));
      const config = await readProjectConfig(wrangler, path, environment, terminal.env);
      return { path, shown: shownPath(path, terminal.cwd), wrangler, config };
    }),
  );
}

interface Following extends DevRun {
  readonly settings: ServerSettings;
  readonly projects: readonly Project[];
  readonly server: RunningServer;
  readonly logger: Logger;
  readonly requestStop: (reason: string) => void;
}

/** Deploys in the background from now on; disposing ends it. */
async function followProjects(context: CommandContext, following: Following): Promise<AsyncDisposable> {
  const { projects, server, logger, settings } = following;
  const { env, cwd, stdin, stdout } = context.terminal;
  const target = { api: server.apiUrl, token: server.token, accountId: server.accountId };
  const stopping = new AbortController();
  const workers = new URL(server.workersUrl);
  const urlOf = (name: string): string =>
    name === settings.defaultWorker ? `http://localhost:${workers.port}` : `http://${name}.localhost:${workers.port}`;

  await using resources = new AsyncDisposableStack();
  const loop = resources.use(
    createDeployLoop<Project>(
      async (project, file) =>
        await deploy(
          project,
          {
            client: createRestClient(target),
            target,
            logger,
            env,
            environment: following.environment,
            forwarded: following.forwarded,
            urlOf,
            signal: stopping.signal,
          },
          file,
        ),
    ),
  );
  resources.defer(() => stopping.abort());
  const deployAll = (): void => {
    for (const project of projects) loop.request(project);
  };

  deployAll();
  // Whoever started this process over a channel learns when there is something to try.
  void loop.idle().then(() => tellStarter({ event: "deployed", workers: server.workersUrl }));

  if (following.watch) {
    for (const project of projects) {
      const { watched } = project.config;
      resources.use(
        await watchSources(watched, { base: dirname(project.path), never: [settings.data] }, (file) =>
          loop.request(project, file),
        ),
      );
    }
  }
  const hasKeys = stdin.isTTY === true && stdout.isTTY === true;
  if (hasKeys) {
    resources.use(
      listenToKeys(stdin, (key) => {
        if (key === "o") openBrowser(server.consoleUrl);
        else if (key === "r") deployAll();
        else if (key === "q") following.requestStop("q");
      }),
    );
  }
  if (following.watch) {
    const keys = hasKeys ? "Keys: o opens the console, r deploys again, q quits" : undefined;
    logger.info("dev.watching", { folders: projects.map(({ path }) => shownPath(dirname(path), cwd)), keys });
  }
  return resources.move();
}

/** Short where it lies below, whole where it does not. */
function shownPath(path: string, cwd: string): string {
  const below = relative(cwd, path);
  return below.startsWith("..") ? path : below || ".";
}

/** It may have ended meanwhile, which is told elsewhere. */
function tellStarter(message: object): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}
