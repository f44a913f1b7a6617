/** How an app on a Portal calls the same app on the Portals of its owner's peers. */

export type { Body } from "./body.js";
export {
  caller,
  type AnonymousCaller,
  type Caller,
  type PeerCaller,
  type TerminalCaller,
  type WithHeaders,
} from "./caller.js";
export * from "./errors.js";
export type { FieldsInit, Query } from "./message.js";
export { Peer } from "./peer.js";
export {
  peer,
  peers,
  Portal,
  portal,
  whoareyou,
  type AskInit,
  type CallInit,
  type PortalIdentity,
} from "./portal.js";
export * from "./refusals.js";
export { expectOk, type PeerResponse } from "./response.js";
export { fromEnvironment, type Environment, type Settings } from "./settings.js";
