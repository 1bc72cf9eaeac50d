// Single keys that people press while `millrace dev` runs.

import type { TextInput } from "../terminal.ts";

const interrupt = "\u0003";
const endOfInput = "\u0004";

/** Calls back with each key, on a terminal only. Ctrl+C and Ctrl+D arrive as `q`: in this mode they are keys like any other. */
export function listenToKeys(stdin: TextInput, onKey: (key: string) => void): Disposable {
  if (stdin.isTTY !== true || stdin.setRawMode === undefined) return { [Symbol.dispose]: () => undefined };
  const onData = (data: Uint8Array | string): void => {
    for (const key of typeof data === "string" ? data : new TextDecoder().decode(data)) {
      onKey(key === interrupt || key === endOfInput ? "q" : key);
    }
  };
  stdin.setRawMode(true);
  stdin.resume();
  stdin.on("data", onData);
  return {
    [Symbol.dispose]() {
      stdin.off("data", onData);
      stdin.setRawMode?.(false);
      stdin.pause();
    },
  };
}
