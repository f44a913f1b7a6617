/** Where a redirect leads: to a path of the same peer's app, or nowhere that is followed. */

const OWN_HOSTS = /^http:\/\/(?:portal_core|portal-core|shard_core)(?::80)?(?=[/?#]|$)/i;
const WITH_SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*:/;
const VISIBLE = /^[\x21-\x7e]*$/;

/** The path at the peer's app that a target of the path form stands for; else undefined. */
function inPathForm(path: string, id: string): string | undefined {
  const form = `/internal/call_peer/${id}`;
  if (!path.startsWith(form)) return undefined;
  const rest = path.slice(form.length);
  if (rest === "" || rest.startsWith("?")) return `/${rest}`;
  return rest.startsWith("/") ? rest : undefined;
}

/**
 * The target that a `Location` means, where `target` was asked of the peer `id`; undefined where it
 * leads elsewhere.
 *
 * The proxy writes a path of the app's into the path form, an app behind an earlier proxy's just the
 * path: both are the same peer's. Nothing is decoded, so the bytes go out as the app wrote them.
 */
export function redirectTarget(location: string, id: string, target: string): string | undefined {
  const [reference = ""] = location.split("#", 1);
  if (!VISIBLE.test(reference)) return undefined;
  if (WITH_SCHEME.test(reference)) {
    const rest = reference.replace(OWN_HOSTS, "");
    return rest === reference ? undefined : normal(inPathForm(rest, id));
  }
  if (reference.startsWith("//")) return undefined;
  if (reference.startsWith("/")) {
    const isForm = /^\/internal\/call_peer(?:[/?]|$)/.test(reference);
    return normal(isForm ? inPathForm(reference, id) : reference);
  }
  // RFC 3986, section 5.2.
  const [path = "/"] = target.split("?", 1);
  if (reference === "") return target;
  if (reference.startsWith("?")) return path + reference;
  return normal(path.slice(0, path.lastIndexOf("/") + 1) + reference);
}

/** Without its dot segments: RFC 3986, section 5.2.4. They can't lead above the app's own "/". */
function normal(target: string | undefined): string | undefined {
  if (target === undefined) return undefined;
  const at = target.indexOf("?");
  const path = at < 0 ? target : target.slice(0, at);
  const kept: string[] = [];
  const segments = path.slice(1).split("/");
  segments.forEach((segment, index) => {
    const isLast = index === segments.length - 1;
    if (segment === "..") kept.pop();
    else if (segment !== ".") kept.push(segment);
    if (isLast && (segment === "." || segment === "..")) kept.push("");
  });
  return `/${kept.join("/")}${at < 0 ? "" : target.slice(at)}`;
}
