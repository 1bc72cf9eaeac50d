// Pages of lists. A list without `page` is answered whole; a page out of range is empty. Source: rest-api.md section 1,
// rules 6 to 8.

import { z } from "zod";
import { limits } from "../contract/index.ts";
import type { ResultInfo } from "../contract/rest/index.ts";

const { pageSize } = limits.request;

const pageNumber = z
  .string({ error: "expected one number" })
  .regex(/^[1-9]\d{0,8}$/, { error: "expected a whole number from 1" })
  .transform(Number);
const pageLength = z
  .string({ error: "expected one number" })
  .regex(/^\d{1,9}$/, { error: `expected a whole number from ${pageSize.min} to ${pageSize.max}` })
  .transform(Number)
  .refine((size) => size >= pageSize.min && size <= pageSize.max, {
    error: `expected a whole number from ${pageSize.min} to ${pageSize.max}`,
  });

export const pagingQuery = z.object({ page: pageNumber.optional(), per_page: pageLength.optional() });

export interface Paging {
  readonly page?: number | undefined;
  readonly per_page?: number | undefined;
}

/**
 * Cuts one page out of a whole list. Without `per_page` the first page is the whole list and the second is empty, so that a
 * client that begins without a page and goes on until one is empty sees everything once; `size` is for lists whose clients
 * ask for pages by number only.
 */
export function pageOf<T>(
  items: readonly T[],
  { page, per_page }: Paging,
  size: number = Number.POSITIVE_INFINITY,
): { readonly items: readonly T[]; readonly info: ResultInfo } {
  const whole = page === undefined && per_page === undefined;
  const wanted = per_page ?? (whole ? Number.POSITIVE_INFINITY : size);
  const length = Number.isFinite(wanted) ? wanted : Math.max(items.length, 1);
  const number = page ?? 1;
  const cut = items.slice((number - 1) * length, number * length);
  const total_pages = Math.ceil(items.length / length);
  return {
    items: cut,
    info: { page: number, per_page: length, count: cut.length, total_count: items.length, total_pages },
  };
}
