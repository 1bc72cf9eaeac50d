// A small mail service: takes mails over HTTP, keeps them in memory, and can be told to be down.
//
//   POST /mails    {"template":"welcome-email","userId":"…"}   202, or 503 while it is down
//   GET  /mails    what was sent
//   POST /down     refuses from now on; /down?user=<userId> refuses that user's only
//   POST /up       works again

import { createServer } from "node:http";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface Mail {
  readonly template: string;
  readonly userId: string;
}

export interface MailService extends AsyncDisposable {
  readonly url: string;
  readonly sent: readonly Mail[];
}

/** Starts the service on a port of this machine; 0 takes any free one. `say` gets a line about everything that happens. */
export async function startMailService(port: number, say: (line: string) => void): Promise<MailService> {
  const sent: Mail[] = [];
  const refused = new Set<string>();
  const everybody = "*";

  const answer = async (request: IncomingMessage): Promise<readonly [status: number, body: unknown]> => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://mail");
    const user = searchParams.get("user") ?? everybody;
    switch (`${request.method} ${pathname}`) {
      case "GET /mails":
        return [200, sent];
      case "POST /mails": {
        const mail = parseMail(await readBody(request));
        if (mail === undefined) return [400, { error: "expected a template and a userId" }];
        if (refused.has(everybody) || refused.has(mail.userId)) {
          say(`is down: no ${mail.template} for ${mail.userId}`);
          return [503, { error: "the mail service is down" }];
        }
        sent.push(mail);
        say(`${mail.template} for ${mail.userId} sent (${sent.length} so far)`);
        return [202, { sent: sent.length }];
      }
      case "POST /down":
        refused.add(user);
        say(user === everybody ? "goes down" : `goes down for ${user}`);
        return [200, { down: [...refused] }];
      case "POST /up":
        refused.clear();
        say("is up again");
        return [200, { down: [] }];
      default:
        return [404, { error: "try POST /mails, GET /mails, POST /down or POST /up" }];
    }
  };

  const server = createServer((request, response) => {
    void answer(request)
      .catch((error: unknown): readonly [number, unknown] => [400, { error: String(error) }])
      .then(([status, body]) =>
        response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`),
      );
  });
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  // No host: `localhost` may be either of two addresses, and a Worker may try both.
  server.listen({ port, host: "localhost" }, resolve);
  await listening;
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    sent,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

const maxBody = 10_000;

async function readBody(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > maxBody) throw new Error("the mail is too large");
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

function parseMail(text: string): Mail | undefined {
  const { template, userId } = (JSON.parse(text) ?? {}) as Partial<Record<keyof Mail, unknown>>;
  return typeof template === "string" && typeof userId === "string" ? { template, userId } : undefined;
}
