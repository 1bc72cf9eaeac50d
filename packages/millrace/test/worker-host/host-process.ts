// A server of its own with one Worker, for tests that kill it. Argument: the folder of its records. Prints what it started.

import { HostHarness } from "./host-harness.ts";

const harness = await HostHarness.open({}, undefined, process.argv[2]);
await harness.deploy({ source: `export default { fetch() { return new Response("up"); } }` });
const pid = harness.host.describe("app" as never)?.pid;
process.stdout.write(`${JSON.stringify({ pid })}\n`);
setInterval(() => undefined, 60_000);
