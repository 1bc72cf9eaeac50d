// What the threads of a server have in common.

export { giveMemoryBackWhenQuiet, QuietWatch } from "./quiet-memory.ts";
