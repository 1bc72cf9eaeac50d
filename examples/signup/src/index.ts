// The sign-up Worker: answers at once, and sends the welcome mail afterwards.

export interface Env {
  EVENTS: Queue<WelcomeEmail>;
  MAIL_URL: string;
}

export interface WelcomeEmail {
  type: "welcome-email";
  userId: string;
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname !== "/signup") return new Response("POST your email to /signup\n", { status: 404 });
    if (request.method !== "POST") {
      return new Response("POST your email to /signup\n", { status: 405, headers: { allow: "POST" } });
    }

    const email = await readEmail(request);
    if (email === undefined) {
      return Response.json({ error: 'Send an address such as {"email":"ada@example.com"}' }, { status: 400 });
    }
    const userId = await createAccount(email);
    await env.EVENTS.send({ type: "welcome-email", userId }); // on disk when this returns
    return Response.json({ userId, message: "Welcome! A mail is on its way." }, { status: 202 });
  },

  // Returning acknowledges the whole batch, throwing delivers it again. See variants/ for finer ways.
  async queue(batch, env) {
    for (const message of batch.messages) {
      await sendWelcomeEmail(message.body, env);
    }
  },
} satisfies ExportedHandler<Env, WelcomeEmail>;

async function readEmail(request: Request): Promise<string | undefined> {
  const body = await request.json<{ email?: unknown } | null>().catch(() => null);
  const email = body?.email;
  return typeof email === "string" && /^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(email) ? email.toLowerCase() : undefined;
}

/** Stands in for a database: the id is made from the address, so the same address is the same account. */
async function createAccount(email: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(email));
  return [...new Uint8Array(hash, 0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Throws when the mail service did not take it. */
export async function sendWelcomeEmail({ userId }: WelcomeEmail, env: Env): Promise<void> {
  const response = await fetch(`${env.MAIL_URL}/mails`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ template: "welcome-email", userId }),
  });
  if (!response.ok) throw new Error(`mail service down (${response.status})`);
  console.log(`welcome mail for ${userId} sent`);
}
