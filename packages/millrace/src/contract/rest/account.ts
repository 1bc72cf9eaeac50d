// Who and where: what wrangler asks before it does anything. Source: rest-api.md section 7.6.

import { z } from "zod";
import { identifier } from "./fields.ts";

export const tokenStatus = z.object({ id: identifier, status: z.literal("active") });

export const userView = z.object({
  id: identifier,
  email: z.string(),
  username: z.string(),
  first_name: z.null(),
  last_name: z.null(),
});

export const accountView = z.object({
  id: identifier,
  name: z.string(),
  type: z.literal("standard"),
  settings: z.object({ enforce_twofactor: z.boolean() }),
});

export const membershipView = z.object({
  id: identifier,
  status: z.literal("accepted"),
  account: accountView,
  roles: z.array(z.string()),
});
