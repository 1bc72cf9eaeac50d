// What the client may use of its surroundings: the part that Node, browsers, Workers, Deno and Bun have in common.
// The sources are compiled against this and the language alone, so that anything else does not compile. Not published:
// the declarations of the package mean the AbortSignal of whoever uses them.

interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void, options?: { readonly once?: boolean }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

interface AbortController {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
}

declare const AbortController: new () => AbortController;

declare const URL: new (url: string) => { readonly protocol: string; readonly pathname: string; readonly href: string };

declare const TextEncoder: new () => { encode(text: string): Uint8Array };

declare const TextDecoder: new (
  label: "utf-8",
  options: { readonly fatal: boolean },
) => { decode(bytes: Uint8Array): string };

declare const crypto: { getRandomValues(bytes: Uint8Array): Uint8Array };

declare function atob(text: string): string;

declare function setTimeout(callback: () => void, ms: number): unknown;

declare function clearTimeout(timer: unknown): void;
