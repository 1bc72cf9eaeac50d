// The envelope around every JSON answer. Source: rest-api.md section 1.

import { z } from "zod";

export const responseError = z.object({
  code: z.int(),
  message: z.string(),
  documentation_url: z.string().optional(),
  source: z.object({ pointer: z.string() }).optional(),
});

const resultInfo = z.object({
  page: z.int(),
  per_page: z.int(),
  count: z.int(),
  total_count: z.int(),
  total_pages: z.int(),
});

export const envelopeOf = <R extends z.ZodType>(result: R) =>
  z.object({
    success: z.boolean(),
    errors: z.array(responseError),
    messages: z.array(z.string()),
    result,
    result_info: resultInfo.optional(),
  });

export type ResponseError = z.infer<typeof responseError>;
export type ResultInfo = z.infer<typeof resultInfo>;

export interface Envelope {
  readonly success: boolean;
  readonly errors: readonly ResponseError[];
  readonly messages: readonly string[];
  readonly result: unknown;
  readonly result_info?: ResultInfo | undefined;
}
