// Reads a queue's messages from a server, page by page.

import { nextPageHeader } from "../../contract/rest/index.ts";
import { readBacklog } from "../commands/queue-inspection.ts";
import type { RestClient } from "../rest-client.ts";

/**
 * Hands over the messages that the queue holds when it is begun, as text of whole lines, oldest first. Answers how many. Messages
 * that leave the queue before they are reached are missing; those that come in meanwhile may stand in their place at the end.
 */
export async function exportQueue(
  client: RestClient,
  queueId: string,
  write: (text: string, soFar: number, of: number) => Promise<void>,
): Promise<number> {
  // Whatever was there first is among the first so many: a queue that is sent to all the time has an end too.
  const { backlog_count: wanted } = await readBacklog(client, queueId);
  let written = 0;
  for (let after: string | undefined; written < wanted;) {
    const from = after === undefined ? "" : `?after=${encodeURIComponent(after)}`;
    const { text, header } = await client.readText(`/millrace/queues/${queueId}/messages/export${from}`);
    const lines = firstLines(text, wanted - written);
    written += lines.count;
    await write(lines.text, written, wanted);
    after = header(nextPageHeader);
    if (after === undefined) break;
  }
  return written;
}

/** At most so many lines; each ends in a newline. */
function firstLines(text: string, most: number): { readonly text: string; readonly count: number } {
  let end = 0;
  let count = 0;
  while (count < most) {
    const next = text.indexOf("\n", end);
    if (next === -1) break;
    end = next + 1;
    count += 1;
  }
  return { text: text.slice(0, end), count };
}
