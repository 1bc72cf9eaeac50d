// `millrace tokens create`, `list` and `revoke`.

import { InvalidArgumentError } from "commander";
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
  /** ISO 8601. */
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
    .argument("[name]", "what it is for (default: its scopes and the day)")
    .requiredOption("--scope <scope>", `what it may do: ${scopes.join(", ")}; may be repeated`, addWords)
    .option("--queue <name>", "good for this queue only; may be repeated", addWords)
    .option("--expires <time>", "when it ends: 30d, 12h or 2027-01-31T00:00:00Z (default: never)", parseExpiry);
  clientAction(create, context, createToken);
  examples(
    create,
    ["millrace tokens create ci --scope workers:write"],
    ["millrace tokens create shop --scope queues:write --queue orders --queue invoices --expires 90d"],
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

/** Repeated, or with commas between. */
function addWords(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, ...text.split(",").map((word) => word.trim())];
}

const unitMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** A point in time, or how long from now. */
function parseExpiry(text: string): string {
  const [, count = "", unit = ""] = /^(\d{1,5})([mhdw])$/.exec(text) ?? [];
  const at = count === "" ? Date.parse(text) : Date.now() + Number(count) * (unitMs[unit] ?? 0);
  if (/^\d/.test(text) && at > Date.now()) return new Date(at).toISOString();
  throw new InvalidArgumentError("Expected a time to come, such as 30d, 12h or 2027-01-31T00:00:00Z.");
}

async function createToken(client: RestClient, options: CreateOptions, name: string | undefined): Promise<Outcome> {
  const created = await client.call("POST", "/millrace/tokens", createdTokenView, {
    name: name ?? `${options.scope.join(" ")} ${new Date().toISOString().slice(0, 10)}`,
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
        ? "There is no token but the administrator's own. Make one: millrace tokens create --scope queues:read"
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
