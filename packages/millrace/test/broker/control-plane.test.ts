import assert from "node:assert/strict";
import { test } from "node:test";
import { ControlPlane } from "../../src/broker/index.ts";
import { putRecord } from "../../src/core/index.ts";
import type { TokenRecord } from "../../src/core/index.ts";
import { openMemoryEngine } from "../../src/engines/memory/index.ts";
import { SimulatedTime } from "../support/simulated-time.ts";

const random = { bytes: (count: number): Uint8Array => new Uint8Array(count) };
const token: TokenRecord = {
  id: "one",
  name: "one",
  sha256: "0".repeat(64),
  scopes: [],
  queues: null,
  created_at_ms: 0,
  expires_at_ms: null,
};

test("the catalog is loaded again when another server has changed it, not after a change of its own", async () => {
  const time = new SimulatedTime();
  await using engine = await openMemoryEngine({ clock: time });
  const { catalog } = engine;
  using changing = await ControlPlane.open(catalog, time, random);
  let loads = 0;
  const load = catalog.load.bind(catalog);
  catalog.load = async () => {
    loads += 1;
    return await load();
  };
  const change = async (value: TokenRecord): Promise<void> => {
    await changing.change("test", () => ({
      operations: [putRecord("token", value.id, value)],
      audit: [],
      result: undefined,
    }));
    await changing.catchUp({ load: false }); // waits for its turn
  };
  await change(token);
  assert.equal(loads, 0);

  using other = await ControlPlane.open(catalog, time, random);
  loads = 0;
  const told = Promise.withResolvers<void>();
  other.onChange(() => told.resolve());
  await change({ ...token, name: "two" });
  await told.promise;
  assert.equal(other.view.get("token", "one")?.name, "two");
  assert.equal(loads, 1);
});
