/** For tests: a Portal that isn't there, and two that are. */

export { FakePortal, type FakeCall, type FakePeer, type FakeRefusal, type PeerApp } from "./fake.js";
export { portals, type Portals, type PortalsInit, type RunningPortal } from "./portals.js";
