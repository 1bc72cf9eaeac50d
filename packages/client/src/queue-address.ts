// The queue a user named, by name or id, and what the REST API needs of it. A name is looked up once and remembered; a queue
// that was deleted and made again under the same name is found again. Nothing here is tried again after a failure: callers do.

import type { Connection } from "./connection.ts";
import { QueueError } from "./errors.ts";
import { isRecord, requireField } from "./json-shape.ts";

const idPattern = /^[0-9a-f]{32}$/i;
const namePattern = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

export class QueueAddress {
  /** As the user said it. */
  readonly given: string;
  readonly #connection: Connection;
  readonly #isId: boolean;
  #id: Promise<string> | undefined;
  #name: Promise<string> | undefined;

  /** 32 hex digits are an id, everything else a name. Throws `QUEUE_NAME_INVALID`. */
  constructor(given: string, connection: Connection) {
    this.given = given;
    this.#isId = idPattern.test(given);
    this.#connection = connection;
    if (!namePattern.test(given)) {
      throw QueueError.local("QUEUE_NAME_INVALID", `Queue name ${JSON.stringify(given).slice(0, 80)} is not valid`);
    }
    if (this.#isId) this.#id = Promise.resolve(given.toLowerCase());
    else this.#name = Promise.resolve(given);
  }

  /** Calls with the queue's id; a second time when the id that was remembered for a name has gone and the name has a new one. */
  async use<T>(call: (id: string) => Promise<T>): Promise<T> {
    const known = this.#id;
    const id = await this.#currentId();
    try {
      return await call(id);
    } catch (error) {
      const isGone = error instanceof QueueError && error.code === "QUEUE_NOT_FOUND";
      if (!isGone || this.#isId || known === undefined) throw error;
      if (this.#id === known) this.#id = undefined;
      const newId = await this.#currentId();
      if (newId === id) throw error;
      return await call(newId);
    }
  }

  /** What `batch.queue` says. */
  async name(): Promise<string> {
    if (this.#name !== undefined) return await this.#name;
    const looking = this.#lookUpName();
    this.#name = looking;
    return await this.#orForget(looking, () => void (this.#name = undefined));
  }

  async #currentId(): Promise<string> {
    if (this.#id !== undefined) return await this.#id;
    const looking = this.#lookUpId();
    this.#id = looking;
    return await this.#orForget(looking, () => {
      if (this.#id === looking) this.#id = undefined;
    });
  }

  async #orForget<T>(looking: Promise<T>, forget: () => void): Promise<T> {
    try {
      return await looking;
    } catch (error) {
      forget();
      throw error;
    }
  }

  async #lookUpName(): Promise<string> {
    const found = await this.#connection.request({ method: "GET", path: `/queues/${this.given.toLowerCase()}` });
    return requireField(isRecord(found) ? found : {}, "queue_name", "string");
  }

  /** Through the list, as wrangler does: the filter is exact. */
  async #lookUpId(): Promise<string> {
    const found = await this.#connection.request({ method: "GET", path: `/queues?name=${this.given}&page=1` });
    const queues = Array.isArray(found) ? found.filter(isRecord) : [];
    const queue = queues.find((each) => each["queue_name"] === this.given);
    if (queue === undefined) {
      throw QueueError.local("QUEUE_NOT_FOUND", `Queue ${this.given} does not exist, or the token may not see it`, {
        status: 404,
        cloudflareCodes: [11000],
      });
    }
    return requireField(queue, "queue_id", "string");
  }
}
