// Message ids of our own making: 32 hex digits, 48 bits of time and 80 random bits, the form that Millrace gives to messages.

import type { Time } from "./time.ts";

export function messageIdMaker(time: Time, randomBytes: (count: number) => Uint8Array): () => string {
  return () => {
    let id = time.now().toString(16).padStart(12, "0");
    for (const byte of randomBytes(10)) id += byte.toString(16).padStart(2, "0");
    return id;
  };
}

export function systemRandomBytes(count: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(count));
}
