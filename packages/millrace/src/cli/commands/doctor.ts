// `millrace doctor`: says in words what is wrong here and how to mend it.

import { execFile } from "node:child_process";
import { access, constants, readFile, stat, statfs } from "node:fs/promises";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { promisify } from "node:util";
import type { Command } from "commander";
import { z } from "zod";
import { hostedWorkerView } from "../../contract/rest/index.ts";
import { findServerFile, isOpenToOthers, readServerFile, settingTable } from "../../config/index.ts";
import type { ServerFile } from "../../config/index.ts";
import { exitCodes, failureText } from "../command-failure.ts";
import { print, printJson } from "../command-context.ts";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { createRestClient } from "../rest-client.ts";
import { addTargetOptions, findTarget } from "../target.ts";
import type { TargetOptions } from "../target.ts";
import { checkMessages } from "./doctor-messages.ts";
import { checkPorts } from "./worker-ports.ts";
import { findWrangler } from "../wrangler/project-wrangler.ts";

interface Finding {
  readonly what: string;
  /** `note`: nothing to mend, good to know. */
  readonly verdict: "good" | "note" | "bad";
  readonly text: string;
}

interface DoctorOptions extends TargetOptions {
  readonly json?: boolean;
  /** Read every message. */
  readonly deep?: boolean;
}

type Check = (context: CommandContext, options: DoctorOptions) => Promise<Omit<Finding, "what">>;

const oldestNode = 24;

const checks: Readonly<Record<string, Check>> = {
  Node: async () => {
    const { node } = process.versions;
    if (Number.parseInt(node, 10) >= oldestNode) return { verdict: "good", text: node };
    return { verdict: "bad", text: `${node}: install Node ${oldestNode} or newer` };
  },
  workerd: async () => {
    try {
      const { default: path } = createRequire(import.meta.url)("workerd") as { readonly default: string };
      const { stdout } = await promisify(execFile)(path, ["--version"]);
      return { verdict: "good", text: stdout.trim() };
    } catch (error) {
      const mend =
        "Install Millrace again for this platform, with its optional packages (npm install without --omit=optional).";
      return { verdict: "bad", text: `cannot run: ${failureText(error).split("\n", 1)[0] ?? ""}. ${mend}` };
    }
  },
  "Data folder": async (context, options) => {
    const file = await dataFile(context, options);
    const path = folderOf(file);
    try {
      if (!(await stat(path)).isDirectory())
        return { verdict: "bad", text: `${path} is no folder. Move it away, or use --data.` };
      await access(path, constants.R_OK | constants.W_OK);
    } catch (error) {
      const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
      if (missing) return { verdict: "note", text: `${path} does not exist yet: the first server makes it` };
      return {
        verdict: "bad",
        text: `${path} cannot be used: ${failureText(error)}. Make it writable for the user that runs the server`,
      };
    }
    if (await isOpenToOthers(path))
      return { verdict: "bad", text: `others can look into it. Mend it: chmod 700 ${path}` };
    return { verdict: "good", text: path };
  },
  Disk: async (context, options) => {
    const path = folderOf(await dataFile(context, options));
    try {
      const { bavail, bsize } = await statfs(path);
      const free = `${Math.floor((bavail * bsize) / 1_000_000)} MB are free where ${path} is`;
      if (bavail * bsize >= leastFreeBytes) return { verdict: "good", text: free };
      return {
        verdict: "bad",
        text: `only ${free}. Free some: a full disk makes sends fail with STORAGE_FULL; nothing accepted is lost`,
      };
    } catch (error) {
      const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
      return { verdict: "note", text: missing ? "nothing is stored yet" : failureText(error) };
    }
  },
  Server: async ({ terminal }, options) => {
    const found = await findTarget(options, terminal);
    if (found.kind === "none") {
      if (!found.leftBehind) return { verdict: "note", text: "none runs on this folder" };
      return {
        verdict: "note",
        text: "none runs; the last one did not stop cleanly. Start it again: nothing it accepted is lost",
      };
    }
    try {
      await createRestClient(found.target).call("GET", "/queues?page=1&per_page=1", z.array(z.unknown()));
      return { verdict: "good", text: found.target.api };
    } catch (error) {
      return { verdict: "bad", text: failureText(error) };
    }
  },
  Messages: async (context, options) => {
    try {
      return await checkMessages(context, options);
    } catch (error) {
      return { verdict: "bad", text: `cannot be checked: ${failureText(error)}` };
    }
  },
  Ports: async ({ terminal }, options) => {
    const found = await findTarget(options, terminal);
    if (found.kind === "none") return { verdict: "note", text: "of Workers: no server runs" };
    try {
      const client = createRestClient(found.target);
      return checkPorts(await client.call("GET", "/millrace/workers", z.array(hostedWorkerView)));
    } catch (error) {
      return { verdict: "bad", text: `cannot be checked: ${failureText(error)}` };
    }
  },
  Damage: async (context, options) => {
    const { damageLogPath } = await import("../../engines/sqlite/index.ts");
    const file = damageLogPath(folderOf(await dataFile(context, options)));
    try {
      const lines = (await readFile(file, "utf8")).trim().split("\n");
      const told = lines.slice(-damageLines).join("\n     ");
      const more = lines.length > damageLines ? `, the last ${damageLines} of ${lines.length} lines` : "";
      return { verdict: "bad", text: `told in ${file}${more}; delete it once that is dealt with:\n     ${told}` };
    } catch (error) {
      const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
      return missing ? { verdict: "good", text: "none was found" } : { verdict: "bad", text: failureText(error) };
    }
  },
  Wrangler: async ({ terminal }) => {
    try {
      const { version } = await findWrangler(terminal.cwd);
      return { verdict: "good", text: version };
    } catch (error) {
      return { verdict: "note", text: failureText(error) };
    }
  },
};

export function addDoctor(program: Command, context: CommandContext): void {
  const doctor = program
    .command("doctor")
    .summary("say what is wrong and how to mend it")
    .description("Looks at this machine, the data folder and the server, and says what is wrong and how to mend it.")
    .option("--deep", "read every message that is stored instead of trusting counters")
    .option("--json", "print JSON for programs");
  addTargetOptions(doctor);
  examples(
    doctor,
    ["millrace doctor"],
    ["millrace doctor --data /var/lib/millrace"],
    ["millrace doctor --deep", "is every accepted message accounted for? Reads them all"],
  );
  doctor.action(async (options: DoctorOptions) => {
    const findings: Finding[] = [];
    for (const [what, check] of Object.entries(checks))
      findings.push({ what, ...(await orFailure(check(context, options))) });
    if (options.json === true) printJson(context, findings);
    else print(context, findings.map(findingText).join("\n"));
    if (findings.some(({ verdict }) => verdict === "bad")) context.setExitCode(exitCodes.failure);
  });
}

/** A check that fails is a finding like any other: the others are told all the same. */
async function orFailure(check: ReturnType<Check>): ReturnType<Check> {
  try {
    return await check;
  } catch (error) {
    return { verdict: "bad", text: `cannot be checked: ${failureText(error)}` };
  }
}

const marks: Readonly<Record<Finding["verdict"], string>> = { good: "ok  ", note: "--  ", bad: "BAD " };
const findingText = ({ what, verdict, text }: Finding): string => `${marks[verdict]} ${what.padEnd(12)} ${text}`;

/** A write-ahead log of full length, and as much again to tidy up in. */
const leastFreeBytes = 128_000_000;

/** Lines of the damage log that are shown. */
const damageLines = 10;

const folderOf = ({ file }: ServerFile): string => file.replace(/[/\\]server\.json$/, "");

async function dataFile({ terminal }: CommandContext, { data }: TargetOptions): Promise<ServerFile> {
  const named = data ?? (terminal.env[settingTable.data.variable] || undefined);
  return named === undefined ? await findServerFile(terminal.cwd) : await readServerFile(resolve(terminal.cwd, named));
}
