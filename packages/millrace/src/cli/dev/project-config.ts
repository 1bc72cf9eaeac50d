// Reads a wrangler configuration with the project's own wrangler, so that it means here exactly what it means to a deploy.

import { spawn } from "node:child_process";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { CommandFailure } from "../command-failure.ts";
import { exitCodeOf } from "../wrangler/project-wrangler.ts";
import type { ProjectWrangler } from "../wrangler/project-wrangler.ts";

export interface ProjectConfig {
  /** Of the Worker, the environment's suffix included. */
  readonly name: string;
  /** Queues it consumes, with their dead letter queues, in the order of the configuration. */
  readonly consumers: readonly { readonly queue: string; readonly deadLetterQueue: string | undefined }[];
  /** Where sources are watched: the configuration's folder, or what a custom build says. Absolute. */
  readonly watched: readonly string[];
}

// Runs in a process of its own: wrangler's library is large, and it belongs to the project. It answers over the channel,
// for on stdout it may print what it likes.
const program = `
const [library, config, env] = process.argv.slice(1);
const { unstable_readConfig: read } = (await import(library)).default;
if (typeof read !== "function") {
  console.error("This wrangler is too old for millrace dev: install wrangler 4.");
  process.exit(1);
}
const { name, queues, build } = read({ config, env: env || undefined }, { hideWarnings: true });
process.send({ name, queues, build });
process.disconnect();
`;

const answer = z.object({
  name: z.string({ error: "name: expected the Worker's name" }),
  queues: z.object({
    consumers: z.array(z.object({ queue: z.string(), dead_letter_queue: z.string().optional() })).nullish(),
  }),
  build: z.object({
    command: z.string().optional(),
    watch_dir: z.union([z.string(), z.array(z.string())]).optional(),
  }),
});

/** Throws with wrangler's own words when the configuration is not valid. */
export async function readProjectConfig(
  wrangler: ProjectWrangler,
  path: string,
  environment: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<ProjectConfig> {
  const folder = dirname(path);
  const args = ["--no-warnings", "--input-type=module", "--eval", program, wrangler.library, path, environment ?? ""];
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: { ...env, NO_COLOR: "1", WRANGLER_WRITE_LOGS: "false" },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (piece: Buffer) => (output += piece.toString("utf8")));
  let received: unknown;
  child.on("message", (message) => (received = message));
  const exitCode = await exitCodeOf(child);
  if (exitCode !== 0 || received === undefined) {
    throw new CommandFailure(`wrangler cannot read ${path}:\n${output.trim()}`);
  }
  const parsed = answer.safeParse(received);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path: where, message }) => `  ${where.join(".")}: ${message}`);
    throw new CommandFailure(`${path} cannot be used:\n${problems.join("\n")}`);
  }
  const { name, queues, build } = parsed.data;
  return {
    name,
    consumers: (queues.consumers ?? []).map(({ queue, dead_letter_queue: dlq }) => ({ queue, deadLetterQueue: dlq })),
    watched:
      build.command === undefined
        ? [folder]
        : [path, ...[build.watch_dir ?? "src"].flat().map((dir) => resolve(folder, dir))],
  };
}
