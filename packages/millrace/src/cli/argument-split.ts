// `millrace dev wrangler.jsonc -- --minify`: what stands behind the dashes is wrangler's, not ours.

export interface SplitArguments {
  readonly before: readonly string[];
  /** Behind `--`; empty when there is none. */
  readonly after: readonly string[];
}

/** Only `dev` hands arguments on this way; for the other commands `--` means what it always means. */
export function splitAtDashes(argv: readonly string[]): SplitArguments {
  const at = argv[0] === "dev" ? argv.indexOf("--") : -1;
  return at === -1 ? { before: argv, after: [] } : { before: argv.slice(0, at), after: argv.slice(at + 1) };
}
