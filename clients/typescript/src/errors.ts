/** What may go wrong with a call, apart from refusals (`refusals.ts`). */

import { isSafe } from "./message.js";

/** Whatever this package throws of its own; what can't be sent at all is a `TypeError`. */
export class PortalError extends Error {
  /**
   * Whether the peer's app may have done what was asked, though there is no response. Then ask it
   * before you repeat the call. `false` is no proof: somebody on the way can get a spoilt copy of a
   * call refused, and deliver the good one too.
   */
  readonly perhapsCarriedOut: boolean = false;

  /** Whether the same call may be sent again later: it can pass then, and won't count twice. */
  readonly isRetriable: boolean = false;


  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = this.constructor.name;
  }
}

/** The environment, or an argument, doesn't tell where the Portal is or with which token. */
export class NotConfigured extends PortalError {}

/** There is no connection to the app's own Portal; nothing was sent. */
export class PortalUnreachable extends PortalError {
  override readonly isRetriable = true;
}

/** What answers where the Portal should be isn't one. */
export class NotAPortal extends PortalError {}

/** A redirect leads away from the peer's app, or needs a body again that is spent. */
export class RedirectRefused extends PortalError {
  /** Where it leads, as the peer's app wrote it. Don't follow it unseen. */
  readonly location: string;

  constructor(message: string, location: string) {
    super(message);
    this.location = location;
  }
}

/** The connection to the app's own Portal failed in the middle of a call. */
export class CallFailed extends PortalError {
  override readonly perhapsCarriedOut: boolean;
  override readonly isRetriable: boolean;

  constructor(message: string, method: string, options?: ErrorOptions) {
    super(message, options);
    this.perhapsCarriedOut = !isSafe(method);
    this.isRetriable = isSafe(method);
  }
}

/** Nothing moved for longer than `timeout` says. */
export class CallTimedOut extends CallFailed {}

/** It broke off. What came of the response, if anything did, is no response. */
export class CallBrokenOff extends CallFailed {}

/** The peer's app answered with a status that the caller takes for a failure (`expectOk`). */
export class UnexpectedStatus extends PortalError {
  readonly status: number;
  readonly response: Response;

  constructor(response: Response) {
    super(`The peer's app answered ${response.status}`);
    this.status = response.status;
    this.response = response;
  }
}

/**
 * The fields that tell the caller contradict each other, or stand twice. The proxy sends each once, so
 * somebody reached the app past it. Let the request fail.
 */
export class CallerUnclear extends PortalError {}
