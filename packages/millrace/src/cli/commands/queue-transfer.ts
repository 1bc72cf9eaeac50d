// `millrace queues export` and `import`: a queue's messages as lines of JSON.

import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import { plural } from "../../observability/index.ts";
import { Draft } from "../backup/draft.ts";
import { clientAction } from "../client-command.ts";
import type { Outcome } from "../client-command.ts";
import { note } from "../command-context.ts";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { assertThere } from "../given-file.ts";
import { examples } from "../help-examples.ts";
import { bytesDone, Progress } from "../progress.ts";
import { requireQueue } from "../queue-lookup.ts";
import type { RestClient } from "../rest-client.ts";
import type { TextOutput } from "../terminal.ts";
import { exportQueue } from "../transfer/export-queue.ts";
import { importLines } from "../transfer/import-lines.ts";
import type { Imported } from "../transfer/import-lines.ts";

interface ExportOptions {
  readonly force?: boolean;
  readonly json?: boolean;
}

export function addQueueTransfer(queues: Command, context: CommandContext): void {
  const exporting = queues
    .command("export")
    .summary("write a queue's messages as lines of JSON")
    .description(
      "Writes the messages that a queue holds, oldest first, each as a line of JSON with its id, body and state. Nothing " +
        "changes: they are not leased, no attempt is counted. Delayed messages and those that a consumer has now are among " +
        "them and say so. A file gets its name only when it is whole.",
    )
    .argument("<name>", "the queue's name")
    .argument("[file]", "where to write them; - or nothing: stdout", "-")
    .option("--force", "overwrite the file if there is one");
  clientAction(exporting, context, async (client, options: ExportOptions, name: string, file: string) => {
    if (file === "-") return await exportToOutput(client, context, options, name);
    return await exportToFile(client, context, options, name, file);
  });
  examples(
    exporting,
    ["millrace queues export my-app-events events.ndjson"],
    ["millrace queues export my-app-events | jq -r .body.type | sort | uniq -c"],
    ["millrace queues export my-app-events-dlq - | gzip > dlq.ndjson.gz"],
  );

  const importing = queues
    .command("import")
    .summary("take in messages that `export` wrote")
    .description(
      "Takes messages into a queue, each with its id, body and send time; their attempts begin again. A message that the queue " +
        "holds already stays as it is, so an import that was interrupted can be run again. Lines go in by up to 1,000 at " +
        "a time; a bad one stops the import, and its number and what was imported before it are told.",
    )
    .argument("<name>", "the queue's name")
    .argument("<file>", "what to read; - is stdin");
  clientAction(importing, context, async (client, _options: object, name: string, file: string) => {
    return await importFrom(client, context, name, file);
  });
  examples(
    importing,
    ["millrace queues import my-app-events events.ndjson"],
    ["gunzip < dlq.ndjson.gz | millrace queues import my-app-events -"],
    ["millrace queues pause my-app-events", "before: nothing is delivered until all is there"],
  );
}

async function exportToOutput(
  client: RestClient,
  context: CommandContext,
  { json, force }: ExportOptions,
  name: string,
): Promise<Outcome> {
  if (json === true || force === true) {
    throw usageFailure(`--${json === true ? "json" : "force"} is for an export into a file: name one.`);
  }
  const { stdout, stderr } = context.terminal;
  const { queue_id: id } = await requireQueue(client, name);
  // On a terminal the lines themselves show how far it is.
  using progress = new Progress(stdout.isTTY === true ? { write: () => undefined } : stderr);
  const count = await exportQueue(client, id, async (text, soFar, of) => {
    await writeWhole(stdout, text);
    progress.show(() => exportProgress(soFar, of));
  });
  progress[Symbol.dispose]();
  note(context, `Exported ${plural(count, "message")} of ${name}.`);
  return { json: undefined, people: () => "" };
}

async function exportToFile(
  client: RestClient,
  { terminal }: CommandContext,
  { force }: ExportOptions,
  name: string,
  file: string,
): Promise<Outcome> {
  const path = resolve(terminal.cwd, file);
  const { queue_id: id } = await requireQueue(client, name);
  await using draft = await Draft.of(path, { overwrites: force === true });
  using progress = new Progress(terminal.stderr);
  let count = 0;
  {
    await using handle = await open(draft.path, "wx", 0o600);
    count = await exportQueue(client, id, async (text, soFar, of) => {
      await handle.write(text);
      progress.show(() => exportProgress(soFar, of));
    });
  }
  const { size: bytes } = await stat(draft.path);
  await draft.publish();
  return {
    json: { queue_name: name, messages: count, file: path, bytes },
    people: () => `Exported ${plural(count, "message")} of ${name} to ${file}.`,
  };
}

function exportProgress(soFar: number, of: number): string {
  return `exported ${soFar} of ${plural(of, "message")}`;
}

/** Waits while whoever reads does not keep up. */
async function writeWhole(output: TextOutput, text: string): Promise<void> {
  if (output.write(text) !== false || output.once === undefined) return;
  const { promise, resolve: drained } = Promise.withResolvers<void>();
  output.once("drain", drained);
  await promise;
}

async function importFrom(
  client: RestClient,
  { terminal }: CommandContext,
  name: string,
  file: string,
): Promise<Outcome> {
  if (file === "-" && terminal.stdin.isTTY === true) {
    throw usageFailure("nothing to import: pipe an export into the command, or name a file.");
  }
  const { queue_id: id } = await requireQueue(client, name);
  using progress = new Progress(terminal.stderr);
  const path = resolve(terminal.cwd, file);
  const size = file === "-" ? 0 : await assertThere(path);
  let read = 0;
  async function* counted(source: AsyncIterable<Uint8Array | string>): AsyncGenerator<Uint8Array | string> {
    for await (const piece of source) {
      read += piece.length;
      yield piece;
    }
  }
  const source = file === "-" ? terminal.stdin : (createReadStream(path) as AsyncIterable<Buffer>);
  const { lines, imported, alreadyThere } = await importLines(client, id, counted(source), (soFar) => {
    progress.show(() => `imported ${plural(soFar.lines, "line")}, ${bytesDone(read, size)}`);
  });
  progress[Symbol.dispose]();
  return {
    json: { queue_name: name, lines, imported, already_there: alreadyThere },
    people: () => importedText(name, { lines, imported, alreadyThere }),
  };
}

function importedText(name: string, { imported, alreadyThere }: Imported): string {
  const done = `Imported ${plural(imported, "message")} into ${name}.`;
  if (alreadyThere === 0) return done;
  return `${done} ${plural(alreadyThere, "message")} ${alreadyThere === 1 ? "was" : "were"} there already.`;
}
