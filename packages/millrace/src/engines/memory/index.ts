// The memory engine's public surface.

export { openMemoryEngine } from "./engine.ts";
