// Runs the whole example in one terminal: the mail service, and `millrace dev` with the Worker.
//
//   npm start
//   npm start -- --variant throw      another handler: ack-each, try-ack-retry-each or throw
//   npm start -- --mail-port 9025     and any flag of `millrace dev`, such as --port or --worker-port

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { parseArgs, styleText } from "node:util";
import { startMailService } from "./mail/server.ts";

const here = import.meta.dirname;
const defaultMailPort = "8025";
const variants = readdirSync(join(here, "variants")).map((file) => file.replace(/\.ts$/, ""));

const { own, others: given } = splitArguments(process.argv.slice(2));
// A story for people, even into a file or a pipe, unless somebody asks for the other form.
const logFormat = given.join(" ").match(/--log-format[= ](\w+)/)?.[1] ?? process.env["MILLRACE_LOG_FORMAT"] ?? "pretty";
const others = [...given, "--log-format", logFormat];
const { variant, "mail-port": mailPort = defaultMailPort } = own;
if (variant !== undefined && !variants.includes(variant))
  fail(`there is no variant ${variant}: choose one of ${variants.join(", ")}`);
if (!/^\d+$/.test(mailPort)) fail(`--mail-port: expected a number, got ${mailPort}`);

const colors = process.stdout.isTTY && !process.env["NO_COLOR"];
const mail = await startMailService(Number(mailPort), say).catch(async (error: NodeJS.ErrnoException) =>
  fail(
    error.code === "EADDRINUSE" ? await whoHasThePort(mailPort) : `the mail service does not start: ${error.message}`,
  ),
);

const forwarded = [
  ...(variant === undefined ? [] : [join("variants", `${variant}.ts`)]),
  ...(mailPort === defaultMailPort ? [] : ["--var", `MAIL_URL:${mail.url}`]),
];
const millrace = join(dirname(createRequire(import.meta.url).resolve("millrace/package.json")), "bin", "millrace.js");
const dev = spawn(
  process.execPath,
  [millrace, "dev", join(here, "wrangler.jsonc"), ...others, ...(forwarded.length > 0 ? ["--", ...forwarded] : [])],
  { stdio: ["inherit", "inherit", "inherit", "ipc"] },
);
// Ctrl+C reaches both processes; this one waits until the server has stopped cleanly.
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => dev.kill("SIGTERM"));
dev.on("message", (message: { readonly event?: string; readonly workers?: string }) => {
  if (message.event === "deployed") showWhatToTry(new URL(message.workers ?? "http://localhost:8787").port);
});
dev.on("close", (code, signal) => {
  if (signal !== null) {
    console.error(`signup: the server was ended by ${signal}. What it accepted is on disk: npm start goes on with it`);
  }
  process.exitCode = code ?? 1;
  void mail[Symbol.asyncDispose]();
});

/** One line of the mail service among the server's own. */
function say(line: string): void {
  const now = new Date();
  if (logFormat === "json") {
    console.log(JSON.stringify({ level: "info", time: now, event: "mail", text: line }));
    return;
  }
  const two = (n: number): string => String(n).padStart(2, "0");
  const ms = String(now.getMilliseconds()).padStart(3, "0");
  const time = `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}.${ms}`;
  console.log(`${paint("dim", time)}  ${paint("green", "mail service")}  ${line}`);
}

function showWhatToTry(port: string): void {
  if (logFormat === "json") return;
  const steps = [
    [
      `curl -X POST http://localhost:${port}/signup -d '{"email":"ada@example.com"}'`,
      "answers at once; the mail goes out 5 seconds later",
    ],
    [`curl -X POST ${mail.url}/down`, "then sign up again: four attempts in half a minute,"],
    ["npx millrace queues peek my-app-events-dlq", "and here is what was given up"],
    [`curl -X POST ${mail.url}/up`, "all is well again"],
  ] as const;
  const lines = steps.flatMap(([typed, why]) => [`  ${paint("bold", typed)}`, `      ${why}`]);
  console.log(`\nTry it in another terminal:\n${lines.join("\n")}\n`);
}

function paint(style: "dim" | "green" | "bold", text: string): string {
  return colors ? styleText(style, text) : text;
}

/** Our own two flags; the rest is for `millrace dev`. */
function splitArguments(args: readonly string[]): {
  readonly own: { readonly variant?: string; readonly "mail-port"?: string };
  readonly others: readonly string[];
} {
  const options = { variant: { type: "string" }, "mail-port": { type: "string" } } as const;
  const { values, tokens } = parseArgs({
    args: [...args],
    options,
    strict: false,
    tokens: true,
    allowPositionals: true,
  });
  const taken = new Set<number>();
  for (const token of tokens) {
    if (token.kind !== "option" || !(token.name in options)) continue;
    taken.add(token.index);
    if (token.inlineValue === false) taken.add(token.index + 1);
  }
  const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
  const variantName = text(values.variant);
  const port = text(values["mail-port"]);
  return {
    own: {
      ...(variantName === undefined ? {} : { variant: variantName }),
      ...(port === undefined ? {} : { "mail-port": port }),
    },
    others: args.filter((_, index) => !taken.has(index)),
  };
}

async function whoHasThePort(port: string): Promise<string> {
  const mails = await fetch(`http://localhost:${port}/mails`, { signal: AbortSignal.timeout(1_000) })
    .then(async (answer): Promise<unknown> => await answer.json())
    .catch(() => undefined);
  return Array.isArray(mails)
    ? `this example runs already, with its mail service on port ${port}: use that one, or stop it first (Ctrl-C where it runs)`
    : `port ${port} is taken by another program: choose another with npm start -- --mail-port 9025`;
}

function fail(message: string): never {
  console.error(`signup: ${message}`);
  process.exit(1);
}
