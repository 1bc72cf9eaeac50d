// `millrace backup` and `millrace restore`.

import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import { readAccountId, settingTable } from "../../config/index.ts";
import { epochMs } from "../../core/index.ts";
import { plural } from "../../observability/index.ts";
import { Draft } from "../backup/draft.ts";
import { fetchBackup } from "../backup/fetch-backup.ts";
import { openOfflineData } from "../backup/offline-data.ts";
import { restore } from "../backup/restore.ts";
import type { Restored } from "../backup/restore.ts";
import { CommandFailure, exitCodes } from "../command-failure.ts";
import { note, print, printJson } from "../command-context.ts";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import { bytesDone, Progress } from "../progress.ts";
import { createRestClient } from "../rest-client.ts";
import { bytes, when } from "../tables.ts";
import { addTargetOptions, findTarget } from "../target.ts";
import type { TargetOptions } from "../target.ts";

interface BackupOptions extends TargetOptions {
  readonly force?: boolean;
  readonly json?: boolean;
}

interface RestoreOptions {
  readonly data?: string;
  readonly json?: boolean;
}

export function addBackup(program: Command, context: CommandContext): void {
  const backup = program
    .command("backup")
    .summary("copy everything a server holds into one file, while it runs")
    .description(
      "Writes everything a server holds into one file: messages, queues, Workers, tokens. The server goes on meanwhile. " +
        "The file is as of one moment after the command began, is checked, and gets its name only when it is whole. " +
        "Where no server runs the data folder itself is backed up.",
    )
    .argument("<file>", "where to write it")
    .option("--force", "overwrite the file if there is one")
    .option("--json", "print JSON for programs");
  addTargetOptions(backup);
  examples(
    backup,
    ["millrace backup backup-2026-11-23.db"],
    ["millrace backup /backups/millrace.db --force --data /var/lib/millrace", "every night"],
  );
  backup.action(async (file: string, options: BackupOptions) => await runBackup(context, file, options));

  const restoring = program
    .command("restore")
    .summary("make a data folder of a backup")
    .description(
      "Makes a data folder of a backup, for `millrace serve` to start on, and reads every message in it to see that nothing is missing.",
    )
    .argument("<file>", "what `millrace backup` wrote")
    .option(
      "--data <folder>",
      "the folder to make; it must be empty or not exist (default: ./.millrace; MILLRACE_DATA)",
    )
    .option("--json", "print JSON for programs");
  examples(restoring, ["millrace restore backup-2026-11-23.db --data /var/lib/millrace-restored"]);
  restoring.action(async (file: string, options: RestoreOptions) => await runRestore(context, file, options));
}

async function runBackup(context: CommandContext, name: string, options: BackupOptions): Promise<void> {
  const { terminal, version } = context;
  const file = resolve(terminal.cwd, name);
  const found = await findTarget(options, terminal);
  await using draft = await Draft.of(file, { overwrites: options.force === true });
  using progress = new Progress(terminal.stderr);
  // What was acknowledged before this moment is in it.
  const madeAt = epochMs(Date.now());
  let accountId: string;
  if (found.kind === "found") {
    const client = createRestClient(found.target);
    accountId = await client.accountId();
    await fetchBackup(client, draft.path, progress);
  } else {
    note(context, `No server runs on ${found.data}: backing up the folder itself.`);
    accountId = await backUpOffline(context, found.data, draft.path, progress);
  }
  progress.show(() => "checking the copy");
  const { labelBackup } = await import("../../engines/sqlite/index.ts");
  labelBackup(draft.path, { accountId, madeAt, version });
  const { size } = await stat(draft.path);
  await draft.publish();
  if (options.json === true) {
    printJson(context, { file, bytes: size, account_id: accountId, made_on: new Date(madeAt).toISOString() });
  } else {
    print(context, `Wrote ${name}, ${bytes(size)}. Restore it: millrace restore ${name} --data <folder>`);
  }
}

async function backUpOffline(context: CommandContext, data: string, file: string, progress: Progress): Promise<string> {
  await using engine = await openOfflineData(data);
  const accountId = await accountOf(context, data);
  await engine.backup(file, ({ copiedBytes, totalBytes }) => {
    progress.show(() => `copying: ${bytesDone(copiedBytes, totalBytes)}`);
    return true;
  });
  return accountId;
}

async function accountOf({ terminal }: CommandContext, data: string): Promise<string> {
  const accountId = terminal.env[settingTable.accountId.variable] || (await readAccountId(data));
  if (accountId !== undefined) return accountId;
  throw new CommandFailure(
    `${data} does not say which account it is. Set MILLRACE_ACCOUNT_ID, as its server has it set.`,
  );
}

async function runRestore(context: CommandContext, name: string, options: RestoreOptions): Promise<void> {
  const { terminal } = context;
  const named = options.data ?? (terminal.env[settingTable.data.variable] || ".millrace");
  using progress = new Progress(terminal.stderr);
  const restored = await restore(resolve(terminal.cwd, name), resolve(terminal.cwd, named), progress);
  progress[Symbol.dispose]();
  if (options.json === true) printJson(context, restoredJson(restored));
  else print(context, restoredText(restored, named));
  if (restored.queues.some(({ discrepancies }) => discrepancies.length > 0)) context.setExitCode(exitCodes.failure);
}

function restoredJson({ folder, label, queues }: Restored): unknown {
  return {
    data: folder,
    account_id: label?.accountId ?? null,
    made_on: label === undefined ? null : new Date(label.madeAt).toISOString(),
    queues: queues.map(({ queue, counted, discrepancies }) => ({
      queue_name: queue.name,
      messages: counted.stored.count,
      holds: discrepancies.length === 0,
      findings: discrepancies,
    })),
  };
}

function restoredText({ label, queues }: Restored, named: string): string {
  const messages = queues.reduce((sum, { counted }) => sum + counted.stored.count, 0);
  const problems = queues.flatMap(({ queue, discrepancies }) =>
    discrepancies.map(({ text, remedy }) => `${queue.name}: ${text}. ${remedy}`),
  );
  const what = `${plural(queues.length, "queue")} with ${plural(messages, "message")}`;
  return [
    label === undefined
      ? `Restored ${what} into ${named}. The file does not say which account it was of: the first start makes a new account id, or set MILLRACE_ACCOUNT_ID.`
      : `Restored ${what} into ${named}, as of ${when(label.madeAt)}, account ${label.accountId}.`,
    problems.length === 0 ? "Every message was read: all that were accepted are accounted for." : problems.join("\n"),
    `Start it: millrace serve --data ${named}`,
    "The first start makes a new administrator token and shows it, unless MILLRACE_API_TOKEN is set. Other tokens are as they were.",
  ].join("\n");
}
