// A server with the tutorial's Worker on it, deployed by real wrangler.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Recorder } from "./recorder.ts";
import { Server, temporaryFolder } from "./millrace.ts";

const tutorialFolder = fileURLToPath(new URL("../tutorial", import.meta.url));

export class Tutorial implements AsyncDisposable {
  server: Server;
  readonly recorder: Recorder;
  readonly #folder: Awaited<ReturnType<typeof temporaryFolder>>;

  private constructor(server: Server, recorder: Recorder, folder: Awaited<ReturnType<typeof temporaryFolder>>) {
    this.server = server;
    this.recorder = recorder;
    this.#folder = folder;
  }

  /** Creates the queue and deploys. */
  static async start(): Promise<Tutorial> {
    const folder = await temporaryFolder();
    const recorder = await Recorder.start();
    const server = await Server.start(folder.path);
    const tutorial = new Tutorial(server, recorder, folder);
    const created = await server.wrangler(tutorialFolder, "queues", "create", "my-app-events");
    assert.equal(created.code, 0, created.stdout + created.stderr);
    const deployed = await server.wrangler(tutorialFolder, "deploy", "--var", `RECORDER_URL:${recorder.url}`);
    assert.equal(deployed.code, 0, deployed.stdout + deployed.stderr);
    return tutorial;
  }

  /** Sends through the Worker's binding; resolves when it answered. */
  async send(body: unknown): Promise<void> {
    const response = await this.server.worker("/send", { method: "POST", body: JSON.stringify(body) });
    assert.equal(response.status, 202, await response.text());
  }

  async sendBatch(bodies: readonly unknown[]): Promise<void> {
    const response = await this.server.worker("/send-batch", { method: "POST", body: JSON.stringify(bodies) });
    assert.equal(response.status, 202, await response.text());
  }

  /** kill -9, then a new server on the same data and ports. */
  async killAndRestart(): Promise<void> {
    const { ports, data } = this.server;
    await this.server.kill();
    this.server = await Server.start(data, ports);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.recorder[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}
