// Settings that nobody here knows are not refused, for newer clients may send them, but nobody is left to believe they work.

export function unknownSettings(
  settings: Readonly<Record<string, unknown>> | undefined,
  known: readonly string[],
  owner: string,
): readonly string[] {
  return Object.keys(settings ?? {})
    .filter((name) => !known.includes(name))
    .slice(0, 10)
    .map(
      (name) =>
        `settings.${name.slice(0, 60)} is not a setting of ${owner} and was ignored; there are ${known.join(", ")}`,
    );
}
