import assert from "node:assert/strict";
import { test } from "node:test";
import { checkId, checkMethod, fieldsOf, targetOf } from "../src/message.js";

for (const path of ["/", "/peer/../x", "/a\\b", "//x", "/%zz", "/a;b=c?d=e?f&'\"<>|^`{}"]) {
  test(`a path goes out as it was written: ${path}`, () => {
    assert.equal(targetOf(path), path);
  });
}

for (const path of ["", "peer", "?x", "http://x/", "/a b", "/a\r\nx: y", "/a\tb", "/é", "/x#y", "/\0", "/\x7f"]) {
  test(`a path that would have to be changed is refused: ${JSON.stringify(path)}`, () => {
    assert.throws(() => targetOf(path), TypeError);
  });
}

test("a query is written behind what is there", () => {
  const query = { q: "a b&c=é", list: [1, 2], yes: true, none: undefined };
  assert.equal(targetOf("/x", query), "/x?q=a+b%26c%3D%C3%A9&list=1&list=2&yes=true");
  assert.equal(targetOf("/x?y", new URLSearchParams({ z: "1" })), "/x?y&z=1");
  assert.equal(targetOf("/x", {}), "/x");
});

for (const id of ["", "8271d", "8271dd/x", "8271dd?", "../../x", "8271DD", "8271dd%2f", "a".repeat(104)]) {
  test(`what isn't an ID is refused: ${id.slice(0, 12)}`, () => {
    assert.throws(() => checkId(id), TypeError);
  });
}

for (const method of ["", "GET /x", "G\r\n", "CONNECT", "connect", "é"]) {
  test(`a method is refused: ${JSON.stringify(method)}`, () => {
    assert.throws(() => checkMethod(method), TypeError);
  });
}

for (const name of ["Portal-Token", "Host", "Transfer-Encoding", "Proxy-Authorization", "Connection", "Upgrade"]) {
  test(`a field of the connection or the token is refused: ${name}`, () => {
    assert.throws(() => fieldsOf({ [name]: "x" }), TypeError);
  });
}

for (const length of ["-1", "1e3", "1, 1", "x", "99999999999999999999"]) {
  test(`a length that is none is refused: ${length}`, () => {
    assert.throws(() => fieldsOf({ "content-length": length }), TypeError);
  });
}
