// `millrace tokens create`, `list` and `revoke`.

import type { Command } from "commander";
import { z } from "zod";
import { createdTokenView, scopes, tokenView } from "../../contract/rest/index.ts";
import { clientAction } from "../client-command.ts";
import type { Outcome } from "../client-command.ts";
import { CommandFailure } from "../command-failure.ts";
import type { CommandContext } from "../command-context.ts";
import { examples } from "../help-examples.ts";
import type { RestClient } from "../rest-client.ts";
import { facts, table } from "../tables.ts";

interface CreateOptions {
  readonly scope: readonly string[];
  readonly queue?: readonly string[];
  readonly expires?: string;
}

export function addTokens(program: Command, context: CommandContext): void {
  const tokens = program
    .command("tokens")
    .summary("access tokens for programs and people")
    .description("Makes, lists and revokes access tokens. A token's value is shown once, when it is made.");
  examples(tokens, ["millrace tokens create reporting --scope queues:read"], ["millrace tokens list"]);

  const create = tokens
    .command("create")
    .description("Makes a token and shows its value, this once.")
    .argument("<name>", "what it is for")
    .requiredOption("--scope <scopes...>", `what it may do: ${scopes.join(", ")}`)
    .option("--queue <names...>", "good for these queues only")
    .option("--expires <time>", "when it ends, such as 2027-01-31T00:00:00Z (default: never)");
  clientAction(create, context, createToken);
  examples(
    create,
    ["millrace tokens create ci --scope workers:write"],
    ["millrace tokens create shop --scope queues:write --queue orders invoices"],
  );

  const list = tokens.command("list").description("Lists tokens, without their values.");
  clientAction(list, context, listTokens);
  examples(list, ["millrace tokens list"]);

  const revoke = tokens
    .command("revoke")
    .description("Revokes a token at once.")
    .argument("<name-or-id>", "as `millrace tokens list` shows it");
  clientAction(revoke, context, revokeToken);
  examples(revoke, ["millrace tokens revoke ci"]);
}

const tokenList = z.array(tokenView);

async function createToken(client: RestClient, options: CreateOptions, name: string): Promise<Outcome> {
  const created = await client.call("POST", "/millrace/tokens", createdTokenView, {
    name,
    scopes: options.scope,
    ...(options.queue === undefined ? {} : { queues: options.queue }),
    ...(options.expires === undefined ? {} : { expires_on: options.expires }),
  });
  return {
    json: created,
    people: () =>
      facts([
        ["Token", `${created.value}   (shown only now)`],
        ["Name", created.name],
        ["Scopes", created.scopes.join(", ")],
        ["Queues", created.queues?.join(", ") ?? "all"],
        ["Expires", created.expires_on ?? "never"],
      ]),
  };
}

async function listTokens(client: RestClient): Promise<Outcome> {
  const all = await client.call("GET", "/millrace/tokens", tokenList);
  return {
    json: all,
    people: () =>
      all.length === 0
        ? "There is no token but the administrator's own. Make one: millrace tokens create <name> --scope queues:read"
        : table(
            ["NAME", "SCOPES", "QUEUES", "EXPIRES", "STATE", "ID"],
            all.map((token) => [
              token.name,
              token.scopes.join(", "),
              token.queues?.join(", ") ?? "all",
              token.expires_on ?? "never",
              token.status,
              token.id,
            ]),
          ),
  };
}

async function revokeToken(client: RestClient, _options: object, nameOrId: string): Promise<Outcome> {
  const all = await client.call("GET", "/millrace/tokens", tokenList);
  const found = all.filter(({ id, name }) => id === nameOrId || name === nameOrId);
  const [token, another] = found;
  if (token === undefined)
    throw new CommandFailure(`there is no token "${nameOrId}". \`millrace tokens list\` shows them.`);
  if (another !== undefined)
    throw new CommandFailure(`${found.length} tokens are called "${nameOrId}": name one by its id.`);
  await client.call("DELETE", `/millrace/tokens/${token.id}`, z.unknown());
  return { json: { revoked: token.id }, people: () => `Revoked token ${token.name}.` };
}
