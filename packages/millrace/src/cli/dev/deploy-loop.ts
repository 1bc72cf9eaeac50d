// Deploys one project at a time, the last change of each: what changes while a deploy runs is deployed after it, once.

export interface DeployLoop<P> extends AsyncDisposable {
  /** Asks for a deploy of the project. `file` is what changed; the last one asked for is told. */
  request(project: P, file?: string): void;
  /** Resolves when nothing is asked for and nothing runs. */
  idle(): Promise<void>;
}

/** `deploy` must not reject. Disposing waits for the deploy that runs and starts no other. */
export function createDeployLoop<P>(deploy: (project: P, file: string | undefined) => Promise<unknown>): DeployLoop<P> {
  const waiting = new Map<P, string | undefined>();
  let running: Promise<void> | undefined;
  let stopped = false;

  async function run(): Promise<void> {
    for (let next = takeFirst(); next !== undefined; next = takeFirst()) await deploy(next.project, next.file);
    running = undefined;
  }

  function takeFirst(): { readonly project: P; readonly file: string | undefined } | undefined {
    for (const [project, file] of waiting) {
      waiting.delete(project);
      return { project, file };
    }
    return undefined;
  }

  return {
    request(project, file) {
      if (stopped) return;
      waiting.set(project, file);
      running ??= run();
    },
    idle: async () => await running,
    async [Symbol.asyncDispose]() {
      stopped = true;
      waiting.clear();
      await running;
    },
  };
}
