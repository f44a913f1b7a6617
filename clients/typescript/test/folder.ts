/** A folder for a test, which is gone when it ends. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

export async function folderFor(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "portal-peers-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
