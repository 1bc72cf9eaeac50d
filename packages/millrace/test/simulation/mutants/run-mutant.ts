// Runs histories on one mutant until a law is broken; tells which, and how many histories it took, as a line of JSON.

import process from "node:process";
import { generate } from "../generate.ts";
import { mutants } from "./mutants.ts";
import { loadMutated } from "./mutated-sources.ts";

const [name, first = "1", most = "1000"] = process.argv.slice(2);
const mutant = mutants.find((each) => each.name === name);
if (mutant === undefined) throw new Error(`there is no mutant "${name}"`);
loadMutated(mutant);
const { simulate } = await import("../simulation.ts");
let law: string | undefined;
let histories = 0;
while (law === undefined && histories < Number(most)) {
  const { violation } = await simulate(generate(Number(first) + histories));
  histories += 1;
  law = violation?.law;
}
process.stdout.write(`${JSON.stringify({ law, histories })}\n`);
