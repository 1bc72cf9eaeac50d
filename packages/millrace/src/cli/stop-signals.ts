// The wish that this process ends: Ctrl+C, `kill`, or the end of the process that started it.

export interface StopSignals extends Disposable {
  /** Resolves with the signal's name at the first wish. */
  readonly requested: Promise<string>;
}

/**
 * Listens from now on. The first wish is told, the second ends the process at once: somebody has waited long enough.
 * With `parent`, the end of a parent that opened a message channel counts as a wish, so no server outlives its starter.
 */
export function stopSignals({ parent }: { readonly parent: boolean }): StopSignals {
  const { promise: requested, resolve } = Promise.withResolvers<string>();
  let wishes = 0;
  const wish = (name: string, exitCode: number): void => {
    wishes += 1;
    if (wishes === 1) resolve(name);
    else process.exit(exitCode);
  };
  const onInterrupt = (): void => wish("SIGINT", 130);
  const onTerminate = (): void => wish("SIGTERM", 143);
  const onHangUp = (): void => wish("SIGHUP", 129);
  const onDisconnect = (): void => resolve("its starter has ended");
  process.on("SIGINT", onInterrupt);
  process.on("SIGTERM", onTerminate);
  process.on("SIGHUP", onHangUp);
  const watchesParent = parent && process.channel !== undefined;
  if (watchesParent) process.on("disconnect", onDisconnect);
  return {
    requested,
    [Symbol.dispose]() {
      process.off("SIGINT", onInterrupt);
      process.off("SIGTERM", onTerminate);
      process.off("SIGHUP", onHangUp);
      process.off("disconnect", onDisconnect);
      if (watchesParent && process.connected) process.disconnect();
    },
  };
}
