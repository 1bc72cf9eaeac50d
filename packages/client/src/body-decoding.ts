// A pulled body as the value that was sent. Text comes as it is; json, bytes and v8 come in base64.
// Source: developers.cloudflare.com/queues/configuration/pull-consumers, content types.

/**
 * `json`: the parsed value. `bytes`: a `Uint8Array`. `v8`: the serialised bytes, for only the Workers runtime reads them.
 * Throws when the body is not what its type says.
 */
export function decodeBody(body: string, contentType: string): unknown {
  switch (contentType) {
    case "json":
      return parseJson(atob(body));
    case "bytes":
    case "v8":
      return bytesOf(atob(body));
    default:
      return body;
  }
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** `binary`: one character for each byte. What is ASCII is text already. */
function parseJson(binary: string): unknown {
  return JSON.parse(/[^\0-\x7f]/.test(binary) ? strictUtf8.decode(bytesOf(binary)) : binary);
}

function bytesOf(binary: string): Uint8Array {
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return bytes;
}
