// A JSON schema as people read shapes: `{ name: string, batch_size?: 1..100 }`, over several lines where it is long.

export type Schema = Readonly<Record<string, unknown>>;

const longestLine = 90;

export function shapeOf(schema: Schema, indent = ""): string {
  if ("const" in schema) return JSON.stringify(schema["const"]);
  if (Array.isArray(schema["enum"])) return schema["enum"].map((value) => JSON.stringify(value)).join(" | ");
  if ("not" in schema) return "never";
  const union = schema["anyOf"] ?? schema["oneOf"];
  if (Array.isArray(union)) return unionOf(union as Schema[], indent);
  switch (schema["type"]) {
    case "object":
      return objectOf(schema, indent);
    case "array":
      return arrayOf(schema, indent);
    case "integer":
    case "number":
      return numberOf(schema);
    case "string":
      return stringOf(schema);
    case "boolean":
    case "null":
      return schema["type"];
    default:
      return "any JSON";
  }
}

function unionOf(schemas: readonly Schema[], indent: string): string {
  return [...new Set(schemas.map((each) => shapeOf(each, indent)))].join(" | ");
}

function arrayOf(schema: Schema, indent: string): string {
  const items = shapeOf((schema["items"] ?? {}) as Schema, indent);
  const bounds = range(schema["minItems"], schema["maxItems"]);
  const list = items === "never" ? "[]" : / \| /.test(items) && !items.startsWith("{") ? `(${items})[]` : `${items}[]`;
  return bounds === "" ? list : `${list} of ${bounds}`;
}

function objectOf(schema: Schema, indent: string): string {
  const properties = Object.entries((schema["properties"] ?? {}) as Readonly<Record<string, Schema>>);
  const required = new Set((schema["required"] ?? []) as readonly string[]);
  const more = schema["additionalProperties"];
  if (properties.length === 0) {
    if (typeof more !== "object" || more === null || Object.keys(more).length === 0) return "{ [name]: any JSON }";
    return `{ [name]: ${shapeOf(more as Schema, indent)} }`;
  }
  const inner = `${indent}  `;
  const fields = properties.map(([name, value]) => {
    const key = /^[\w$]+$/.test(name) ? name : JSON.stringify(name);
    return `${key}${required.has(name) ? "" : "?"}: ${shapeOf(value, inner)}`;
  });
  const line = `{ ${fields.join(", ")} }`;
  if (!line.includes("\n") && indent.length + line.length <= longestLine) return line;
  return `{\n${fields.map((field) => `${inner}${field},\n`).join("")}${indent}}`;
}

function numberOf(schema: Schema): string {
  return range(schema["minimum"], schema["maximum"]) || String(schema["type"]);
}

function stringOf(schema: Schema): string {
  const { format, pattern } = schema;
  if (format === "date-time") return "time";
  if (format === "uuid") return "UUID";
  if (format === "date") return "date";
  if (pattern === "^[0-9a-f]{32}$") return "32 hex digits";
  const bounds = range(schema["minLength"], schema["maxLength"]);
  return bounds === "" ? "string" : `string of ${bounds}`;
}

/** Bounds that are only those of exact whole numbers say nothing. */
function range(min: unknown, max: unknown): string {
  const from = typeof min === "number" && min > Number.MIN_SAFE_INTEGER ? min : undefined;
  const to = typeof max === "number" && max < Number.MAX_SAFE_INTEGER ? max : undefined;
  if (from === undefined && to === undefined) return "";
  return `${from ?? ""}..${to ?? ""}`;
}
