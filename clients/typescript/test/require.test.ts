import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import * as imported from "portal-peers";

test("CommonJS gets the same classes as ECMAScript modules", () => {
  const required = createRequire(import.meta.url)("portal-peers") as typeof imported;
  assert.equal(required.Refused, imported.Refused);
});

test("each class of an error bears its own name", () => {
  const error = new imported.NotConfigured("x");
  assert.deepEqual([error.name, String(error)], ["NotConfigured", "NotConfigured: x"]);
});
