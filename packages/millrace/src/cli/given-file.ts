// A file that a command is given to read.

import { stat } from "node:fs/promises";
import { CommandFailure } from "./command-failure.ts";

/** Answers how many bytes it has. Throws a `CommandFailure` when there is none. */
export async function assertThere(file: string): Promise<number> {
  try {
    const { size } = await stat(file);
    return size;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      throw new CommandFailure(`there is no file ${file}.`);
    throw error;
  }
}
