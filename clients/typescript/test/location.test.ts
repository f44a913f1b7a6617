import assert from "node:assert/strict";
import { test } from "node:test";
import { redirectTarget } from "../src/location.js";

const FOLLOWED: [location: string, target: string, expected: string][] = [
  ["/internal/call_peer/8271dd/peer/x/", "/peer/x", "/peer/x/"],
  ["/internal/call_peer/8271dd/peer/x?a=1#top", "/", "/peer/x?a=1"],
  ["/internal/call_peer/8271dd", "/peer/x", "/"],
  ["/internal/call_peer/8271dd?a", "/peer/x", "/?a"],
  ["http://portal_core/internal/call_peer/8271dd/x", "/y", "/x"],
  ["HTTP://Portal_Core:80/internal/call_peer/8271dd/x", "/y", "/x"],
  ["/peer/x/", "/peer/x", "/peer/x/"],
  ["/peer/%2e%2E/a%2fb;c", "/peer/x", "/peer/%2e%2E/a%2fb;c"],
  ["x/", "/peer/x?a", "/peer/x/"],
  ["?b", "/peer/x?a", "/peer/x?b"],
  ["", "/peer/x?a", "/peer/x?a"],
  ["#top", "/peer/x?a", "/peer/x?a"],
  ["../up", "/peer/deep/x", "/peer/up"],
  ["../../../protected/peers", "/peer/x", "/protected/peers"],
  [".", "/peer/x", "/peer/"],
  ["..", "/peer/x/y", "/peer/"],
  ["x?to=../../y", "/peer/z", "/peer/x?to=../../y"],
  ["/internal/call_peer/8271dd/../../../protected/peers", "/x", "/protected/peers"],
  ["/internal/call_peer/8271dd/../b8rk3f/x", "/x", "/b8rk3f/x"],
  ["/protected/peers", "/x", "/protected/peers"],
  ["/internal/call_peers", "/x", "/internal/call_peers"],
];

for (const [location, target, expected] of FOLLOWED) {
  test(`a redirect stays at the peer's app: ${JSON.stringify(location)}`, () => {
    assert.equal(redirectTarget(location, "8271dd", target), expected);
  });
}

const ELSEWHERE = [
  "http://evil.example/",
  "https://portal_core/internal/call_peer/8271dd/x",
  "http://portal_core:8081/internal/call_peer/8271dd/x",
  "http://portal_core.evil.example/internal/call_peer/8271dd/x",
  "http://portal_core@evil.example/internal/call_peer/8271dd/x",
  "http://portal_core/protected/peers",
  "http://portal_core",
  "http:/internal/call_peer/8271dd/x",
  "//evil.example/",
  "/internal/call_peer/b8rk3f/x",
  "/internal/call_peer/8271ddx/x",
  "/internal/call_peer/",
  "/internal/call_peer",
  "javascript:alert(1)",
  "/with a blank",
  "/line\nend",
  "/lettré",
];

for (const location of ELSEWHERE) {
  test(`a redirect that leads elsewhere isn't followed: ${JSON.stringify(location)}`, () => {
    assert.equal(redirectTarget(location, "8271dd", "/x"), undefined);
  });
}
