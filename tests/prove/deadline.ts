// Waiting, with a deadline that only a broken product reaches.

/** The promise's value, or an error that says what did not happen within two minutes. */
export async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${what}: did not happen within two minutes`)), 120_000);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
