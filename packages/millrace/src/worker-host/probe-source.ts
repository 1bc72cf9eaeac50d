// Programs that run a Worker's script and say what it exports. A service binding cannot be asked, and a stored queue handler
// that is not there would be noticed only by the first batch.

const handlerNames = ["fetch", "queue", "scheduled", "email", "tail", "tailStream", "trace"];

export interface ExportedHandlers {
  /** Of the default export, or of a service-worker script. */
  readonly handlers: readonly string[];
  /** Of other exported entrypoints, by name. */
  readonly named: Readonly<Record<string, readonly string[]>>;
}

/** A main module that imports the Worker's own. Handlers are methods of an object, or of a class's instances. */
export function moduleProbe(mainModule: string): string {
  return `import * as worker from ${JSON.stringify(`./${mainModule}`)};
const names = ${JSON.stringify(handlerNames)};
function handlersOf(value) {
  const holder = typeof value === "function" ? value.prototype : value;
  if (typeof holder !== "object" || holder === null) return [];
  return names.filter((name) => typeof holder[name] === "function");
}
export default {
  fetch() {
    const named = {};
    for (const [name, value] of Object.entries(worker)) {
      const handlers = name === "default" ? [] : handlersOf(value);
      if (handlers.length > 0) named[name] = handlers;
    }
    return Response.json({ handlers: handlersOf(worker.default), named });
  },
};
`;
}

/** The script with a listener before it that answers in its place. On the script's first line, so that its line numbers stay. */
export function scriptProbe(script: string): string {
  const probe = `{
    const add = globalThis.addEventListener;
    const seen = new Set();
    add.call(globalThis, "fetch", (event) => {
      const handlers = ${JSON.stringify(handlerNames)}.filter((name) => seen.has(name));
      event.stopImmediatePropagation();
      event.respondWith(Response.json({ handlers, named: {} }));
    });
    globalThis.addEventListener = (type, ...rest) => { seen.add(String(type)); return add.call(globalThis, type, ...rest); };
  } `;
  return probe.replaceAll(/\s*\n\s*/g, " ") + script;
}
