// Cap'n Proto's text form, as far as workerd's configuration needs it: values in, one safe expression out.
// Source: https://capnproto.org/language.html (literals, `embed`); checked against workerd by the tests of module kinds.

/** Text that stands in the configuration as it is. */
export interface Expression {
  readonly expression: string;
}

export type CapnpValue =
  | string
  | boolean
  | Expression
  | readonly CapnpValue[]
  | { readonly [field: string]: CapnpValue | undefined };

/** The content of a file, named relative to the configuration. */
export const embed = (file: string): Expression => ({ expression: `embed ${quoted(file)}` });

/** One value; fields that are `undefined` are left out. */
export function capnpText(value: CapnpValue): string {
  if (typeof value === "string") return quoted(value);
  if (typeof value === "boolean") return String(value);
  if (isList(value)) return `[${value.map(capnpText).join(", ")}]`;
  if ("expression" in value && typeof value.expression === "string") return value.expression;
  const fields = Object.entries(value).filter((entry): entry is [string, CapnpValue] => entry[1] !== undefined);
  return `(${fields.map(([name, field]) => `${name} = ${capnpText(field)}`).join(", ")})`;
}

// `Array.isArray` does not narrow readonly arrays.
const isList = (value: CapnpValue): value is readonly CapnpValue[] => Array.isArray(value);

/** Every byte outside printable ASCII is escaped, so no input can end the literal or break the line. */
function quoted(text: string): string {
  let literal = '"';
  for (const byte of new TextEncoder().encode(text)) {
    const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
    literal += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `${literal}"`;
}
