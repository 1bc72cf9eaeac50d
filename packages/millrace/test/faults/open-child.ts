// Opens the data of a folder and closes it again: for tests that end it in the middle.

import process from "node:process";
import { ManualClock } from "../engines/harness.ts";
import { openInProcess } from "./in-process-link.ts";
import { tuning } from "./run.ts";

await openInProcess(process.argv[2] ?? "", new ManualClock(), tuning).engine[Symbol.asyncDispose]();
