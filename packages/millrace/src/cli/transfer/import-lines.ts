// Gives lines of messages to a server, request by request. Each request is taken in whole or not at all.

import { importResult, transferLimits } from "../../contract/rest/index.ts";
import { CommandFailure } from "../command-failure.ts";
import type { RestClient } from "../rest-client.ts";
import { lineChunks } from "./line-chunks.ts";

/** Well below what a request may carry, and above any line. */
const chunkLimits = { lines: transferLimits.messages, bytes: 1_000_000 };

export interface Imported {
  readonly lines: number;
  readonly imported: number;
  readonly alreadyThere: number;
}

/** Throws with the number of the line at which it ended, and what is in the queue by then. */
export async function importLines(
  client: RestClient,
  queueId: string,
  source: AsyncIterable<Uint8Array | string>,
  onProgress: (soFar: Imported) => void,
): Promise<Imported> {
  let soFar: Imported = { lines: 0, imported: 0, alreadyThere: 0 };
  try {
    for await (const { text, firstLine, lines } of lineChunks(source, chunkLimits)) {
      const path = `/millrace/queues/${queueId}/messages/import?first_line=${firstLine}`;
      const answer = await client.post(path, importResult, text);
      soFar = {
        lines: soFar.lines + lines,
        imported: soFar.imported + answer.imported,
        alreadyThere: soFar.alreadyThere + answer.already_there,
      };
      onProgress(soFar);
    }
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    throw new CommandFailure(`${error.message} ${whatIsDone(soFar.lines)}`, { cause: error, exitCode: error.exitCode });
  }
  return soFar;
}

function whatIsDone(lines: number): string {
  if (lines === 0) return "Nothing was imported.";
  const done = lines === 1 ? "Line 1 is imported" : `Lines 1 to ${lines} are imported`;
  return `${done}, none behind. Run it again once that is mended: what the queue holds is not imported twice.`;
}
