// docs/reference/errors.md: the catalogue of errors, in our codes and in Cloudflare's numbers.

import { cloudflareError, cloudflareErrors } from "../../packages/millrace/src/contract/index.ts";
import type { CloudflareError, Plane } from "../../packages/millrace/src/contract/index.ts";
import { errorCatalogue } from "../../packages/millrace/src/core/index.ts";
import type { ErrorCode } from "../../packages/millrace/src/core/index.ts";
import { errorMeanings } from "./error-meanings.ts";
import { code, table } from "./markdown.ts";

const codes = Object.keys(errorCatalogue) as ErrorCode[];
const planes = ["data", "pull"] as const satisfies readonly Plane[];

export function errorsPage(): string {
  return `# Errors

Every error has a code of ours, which never changes its meaning, and one of Cloudflare's numbers.

- **Over REST** the envelope holds number and text: \`{"success": false, "errors": [{"code": 10204, "message": "… (MESSAGE_TOO_LARGE). …"}], …}\`. The text ends with our code and the remedy.
- **In a Worker** with compatibility date 2026-03-12 or later, \`send\`, \`sendBatch\` and \`metrics\` throw an \`Error\` with the message \`<what happened> (<number>)\`. With an earlier date \`send\` and \`sendBatch\` throw \`Queue send failed: <what happened>\` and \`Queue sendBatch failed: <what happened>\`.
- **Retry** says whether the same request may succeed later. Over REST such an answer carries \`Retry-After\`; an answer that the SDK would otherwise repeat, and should not, carries \`x-should-retry: false\`.

Some numbers depend on who answers: *data* is the binding and push over REST; *pull* is pull, ack, peek and purge by ref; everything else is the first number.

## By code

${table(["Code", "Number", "HTTP status", "Meaning", "Remedy", "Retry"], codes.map(row))}

## By Cloudflare's number

${table(["Number", "Cloudflare's name", "Codes"], byNumber())}
`;
}

function row(ours: ErrorCode): string[] {
  if (errorMeanings[ours] === undefined) throw new Error(`Say in scripts/docs/error-meanings.ts what ${ours} means`);
  const control = cloudflareError(ours, "control");
  const others = planes
    .map((plane) => ({ plane, error: cloudflareError(ours, plane) }))
    .filter(({ error }) => error.code !== control.code || error.status !== control.status);
  const withOthers = (key: "code" | "status"): string =>
    [String(control[key]), ...grouped(others.map(({ plane, error }) => ({ plane, value: error[key] })))].join("<br>");
  const isRetryable = (error: CloudflareError): string => (error.retryable ? "yes" : "no");
  return [
    code(ours),
    withOthers("code"),
    withOthers("status"),
    errorMeanings[ours],
    errorCatalogue[ours].remedy,
    isRetryable(control),
  ];
}

/** `data: 10104`, or `data, pull: 10104` where both planes say the same. */
function grouped(values: readonly { readonly plane: string; readonly value: number }[]): string[] {
  const byValue = new Map<number, string[]>();
  for (const { plane, value } of values) byValue.set(value, [...(byValue.get(value) ?? []), plane]);
  return [...byValue].map(([value, names]) => `${names.join(", ")}: ${value}`);
}

function byNumber(): string[][] {
  const found = new Map<number, { names: Set<string>; codes: Set<ErrorCode> }>();
  for (const ours of Object.keys(cloudflareErrors) as ErrorCode[]) {
    for (const plane of ["control", ...planes] as const) {
      const { code: number, name } = cloudflareError(ours, plane);
      const entry = found.get(number) ?? { names: new Set<string>(), codes: new Set<ErrorCode>() };
      found.set(number, entry);
      entry.codes.add(ours);
      if (name !== undefined) entry.names.add(name);
    }
  }
  return [...found]
    .toSorted(([a], [b]) => a - b)
    .map(([number, { names, codes: ours }]) => [
      String(number),
      [...names].map(code).join(", "),
      [...ours].map(code).join(", "),
    ]);
}
