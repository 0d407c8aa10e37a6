import assert from "node:assert/strict";
import { test } from "node:test";
import { mayFollow, Route } from "../../../clients/browser/following.js";

test("a server sends a stream to sockets only, and never without TLS after TLS", () => {
  for (const [entry, url] of [["ws://a/", "ws://b/"], ["ws://a/", "wss://b/"], ["wss://a/", "wss://b/"]])
    assert.ok(mayFollow(entry, url), url);
  for (const url of ["ws://b/", "https://b/", "wss://user@b/", "b", ""]) assert.ok(!mayFollow("wss://a/", url), url);
});

test("a stream goes where it is sent, and back to its entry if that fails", () => {
  const route = new Route();
  route.connects("ws://a/");
  route.lost("ws://b/");
  assert.equal(route.named, "ws://b/");
  route.connects("ws://b/");
  route.lost(undefined);
  assert.equal(route.named, null);
});

test("the entry decides where it may go, not the last server", () => {
  const route = new Route();
  route.connects("wss://a/");
  route.lost("wss://b/");
  route.connects("wss://b/");
  route.lost("ws://c/");
  assert.equal(route.named, null);
});

test("servers that send each other streams keep none for ever, but an answer allows as many hops again", () => {
  const route = new Route();
  const hops = () => {
    for (let count = 0; ; count++) {
      route.connects(route.named ?? "ws://a/");
      route.lost("ws://b/");
      if (!route.named) return count;
    }
  };
  assert.equal(hops(), 4);
  route.lost("ws://b/");
  route.answered();
  assert.equal(hops(), 4);
});
