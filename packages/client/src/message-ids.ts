// Message ids of our own making: 32 hex digits, the form that Millrace gives to messages. 48 bits of time, 64 random bits, and
// a number from 0 for the messages of the same millisecond, which share the random bits: drawing them costs more than all else
// that is done for a message here.

import type { Time } from "./time.ts";

const randomCount = 8;
const mostNumbers = 0x1_0000;

export function messageIdMaker(time: Time, randomBytes: (count: number) => Uint8Array): () => string {
  let madeAt = Number.NaN;
  let start = "";
  let number = 0;
  return () => {
    const now = time.now();
    if (now !== madeAt || number === mostNumbers) {
      madeAt = now;
      start = now.toString(16).padStart(12, "0");
      for (const byte of randomBytes(randomCount)) start += byte.toString(16).padStart(2, "0");
      number = 0;
    }
    const end = number.toString(16).padStart(4, "0");
    number += 1;
    return start + end;
  };
}

export function systemRandomBytes(count: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(count));
}
