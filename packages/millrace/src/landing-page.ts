// What a browser sees at `/` until there is a console: that the server runs, and where to look.

/** A whole page; names nothing that needs a token. */
export function landingPage(facts: {
  readonly version: string;
  readonly apiUrl: string;
  readonly workersUrl: string;
}): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Millrace</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 44rem; margin: 4rem auto; padding: 0 1rem; }
  code { font-family: ui-monospace, monospace; }
  dt { font-weight: 600; } dd { margin: 0 0 .75rem; }
</style>
<h1>Millrace runs</h1>
<p>This version has no console in the browser yet. The command line shows the same things:</p>
<dl>
  <dt><code>millrace queues list</code></dt><dd>every queue, its backlog and its consumer</dd>
  <dt><code>millrace queues explain &lt;name&gt;</code></dt><dd>why nothing is moving, and what to do</dd>
  <dt><code>millrace queues peek &lt;name&gt;</code></dt><dd>messages, without taking them</dd>
  <dt><code>millrace workers logs &lt;name&gt;</code></dt><dd>what a Worker does and says</dd>
</dl>
<dl>
  <dt>REST API</dt><dd><code>${facts.apiUrl}</code> (<a href="/client/v4/openapi.json">OpenAPI</a>)</dd>
  <dt>Workers</dt><dd><a href="${facts.workersUrl}">${facts.workersUrl}</a></dd>
  <dt>Health</dt><dd><a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a>, <a href="/metrics">/metrics</a></dd>
  <dt>Version</dt><dd>${facts.version}</dd>
</dl>
`;
}
