/** Refusals: what a proxy answers in the place of the peer's app. */

import { PortalError } from "./errors.js";
import { isSafe } from "./message.js";

/** Whose proxy refused: the app's own, or the peer's, which proved that it was it. */
export type RefusedBy = "portal" | "peer";

/** What a refusal says, and what was refused. */
export interface RefusalFacts {
  code: string;
  status: number;
  by: RefusedBy;
  title: string;
  method: string;
  retryAfter: number | undefined;
  requestId: string | undefined;
}

/** The same call may pass later, without anybody having changed it. */
const TEMPORARY = new Set([
  ...["app_busy", "app_failed", "app_timeout", "app_unavailable", "app_unreachable"],
  ...["contacts_unavailable", "envelope_broken", "internal", "out_of_time", "outcome_unknown"],
  ...["peer_timeout", "peer_unreachable", "peer_untrusted", "rate_limited", "replay_store_down"],
  ...["replayed", "request_timeout", "storage_full", "token_unknown", "too_many_connections"],
  ...["too_many_requests"],
]);

/** Somebody got the call, or a part of it, before it was refused. */
const PERHAPS = new Set([
  ...["answer_too_large", "app_failed", "app_timeout", "envelope_broken", "internal"],
  ...["outcome_unknown", "redirects_to_itself", "replayed"],
]);

/** A proxy refused the call. The class tells why; for a code that isn't known here it is this one. */
export class Refused extends PortalError {
  /** Why, for programs: stable. */
  readonly code: string;
  readonly status: number;
  readonly by: RefusedBy;
  /** Why, for people. It may change. */
  readonly title: string;
  /** Seconds after which it may be tried again, where that was told. */
  readonly retryAfter: number | undefined;
  /** By this the owner finds the request in the Portal's log. */
  readonly requestId: string | undefined;
  override readonly perhapsCarriedOut: boolean;
  override readonly isRetriable: boolean;

  constructor({ code, status, by, title, method, retryAfter, requestId }: RefusalFacts) {
    const who = by === "peer" ? "The peer's Portal" : "The Portal";
    super(`${who} refused the call: ${title || "no reason given."} (${code}, ${status})`);
    this.code = code;
    this.status = status;
    this.by = by;
    this.title = title;
    this.retryAfter = retryAfter;
    this.requestId = requestId;
    this.perhapsCarriedOut = PERHAPS.has(code) && !isSafe(method);
    this.isRetriable = TEMPORARY.has(code) && !this.perhapsCarriedOut;
  }
}

/** The Portal wants the app's token, and had none or a wrong one. */
export class TokenRefused extends Refused {}

/** No peer that the app may know has this ID. */
export class NoSuchPeer extends Refused {}

/** The peer's Portal doesn't have this app. */
export class NoSuchApp extends Refused {}

/** The peer's owner hasn't allowed this Portal for the app, or the path isn't for peers. */
export class NotAllowed extends Refused {}

/** No proxy carries such a call: its path, a field or its size must be another. */
export class CallNotCarried extends Refused {}

/** Too much runs at once, or comes too fast; `retryAfter` may say when to try again. */
export class Busy extends Refused {}

/** The peer's Portal can't be reached, or gave no response that can be believed. */
export class PeerUnavailable extends Refused {}

/** The peer's Portal is there, its app isn't, or broke off. */
export class AppUnavailable extends Refused {}

/** One of the two Portals can't do its work just now; its owner must look. */
export class PortalInTrouble extends Refused {}

/** The two Portals don't agree on keys, addresses, modes or the time; the owners must look. */
export class PortalsDisagree extends Refused {}

/** The call was perhaps carried out. Ask the peer's app before you repeat it. */
export class OutcomeUnknown extends Refused {}

const CODES: readonly (readonly [typeof Refused, readonly string[]])[] = [
  [TokenRefused, ["token_required", "token_unknown"]],
  [NoSuchPeer, ["no_such_peer", "not_a_peer_host"]],
  [NoSuchApp, ["no_such_app"]],
  [NotAllowed, ["not_allowed"]],
  [
    CallNotCarried,
    [
      ...["answer_too_large", "bad_field", "bad_request", "bad_target", "bad_tunnel"],
      ...["cannot_hold", "device_token_refused", "from_a_browser", "head_too_large"],
      ...["length_required"],
      ...["method_not_allowed", "no_internet", "not_found", "request_timeout"],
      ...["target_too_long", "too_large", "upgrade_unsupported", "version_unsupported"],
      ...["write_http"],
    ],
  ],
  [Busy, ["app_busy", "rate_limited", "too_many_connections", "too_many_requests"]],
  [PeerUnavailable, ["peer_timeout", "peer_unreachable", "peer_untrusted"]],
  [AppUnavailable, ["app_failed", "app_timeout", "app_unreachable", "loop_detected"]],
  [
    PortalInTrouble,
    [
      ...["app_unavailable", "contacts_unavailable", "internal", "replay_store_down"],
      ...["storage_full"],
    ],
  ],
  [
    PortalsDisagree,
    [
      ...["digest_mismatch", "key_mismatch", "misdirected", "mode_not_accepted"],
      ...["no_sealing_key", "out_of_time", "proof_required", "redirects_to_itself"],
      ...["signature_coverage"],
      ...["signature_invalid", "signature_malformed", "wrong_envelope", "wrong_recipient"],
    ],
  ],
  [OutcomeUnknown, ["envelope_broken", "outcome_unknown", "replayed"]],
];

/** For each code its class; a code that isn't here is a plain `Refused`. */
export const BY_CODE: ReadonlyMap<string, typeof Refused> = new Map(
  CODES.flatMap(([kind, codes]) => codes.map((code) => [code, kind] as const)),
);

/** The refusal that these facts are, in the class of its code. */
export function refusal(facts: RefusalFacts): Refused {
  return new (BY_CODE.get(facts.code) ?? Refused)(facts);
}
