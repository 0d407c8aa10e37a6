// The REST API. Every failure is an Error whose message is a sentence for people.

import { askForKey } from "./keys.js";
import { texts } from "./texts.js";

const RETRY = 2000; // ms between two looks for a server that is lost

/** The server's address: the page's own folder, so that a proxy may serve it under a path. */
export const base = new URL(".", document.baseURI);
export const address = (path) => new URL(path.replace(/^\//, ""), base);

/** The address of a socket; the page's session, a cookie, is sent with it. */
export function socketAddress(path) {
  const url = address(path);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}

/** Whether the server can be reached, as events: `lost`, and `back`. */
export const connection = new EventTarget();

/** A request that failed: `status`, `code` and the server's sentence. */
export class Refused extends Error {
  constructor(status, body) {
    super([body.detail, ...(body.errors ?? []).map((one) => `${one.field}: ${one.detail}.`)].join(" "));
    Object.assign(this, { status, code: body.code });
  }
}

/** Send a request and return its JSON, or null for an empty answer. `body` is sent as JSON. */
export async function call(method, path, body) {
  const answer = await request(path, json(method, body));
  return answer.status === 204 ? null : answer.json();
}

/** `fetch` on the server. Raises Refused, or an Error if the server cannot be reached. */
export async function request(path, options = {}) {
  const answer = await reach(path, options);
  if (answer.status !== 401) return accepted(answer);
  if (!(await haveKey())) throw new Error(texts.key.declined);
  return accepted(await reach(path, options));
}

/** Follow server-sent events: `on[kind](data)`; returns a function that stops. */
export function events(path, on) {
  const source = new EventSource(address(path));
  for (const [kind, take] of Object.entries(on))
    source.addEventListener(kind, (event) => take(event.data ? JSON.parse(event.data) : event));
  return () => source.close();
}

const json = (method, body) => ({
  method,
  headers: body === undefined ? {} : { "Content-Type": "application/json" },
  body: body === undefined ? undefined : JSON.stringify(body),
});

/** Return an answer. Raises Refused unless it is a success. */
export async function accepted(answer) {
  if (answer.ok) return answer;
  throw new Refused(answer.status, await answer.json().catch(() => ({ detail: texts.errors.status(answer.status) })));
}

async function reach(path, options) {
  try {
    const answer = await fetch(address(path), options);
    report(false);
    return answer;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    report(true);
    throw new Error(texts.errors.unreachable);
  }
}

let isLost = false;

function report(lost) {
  if (lost === isLost) return;
  isLost = lost;
  connection.dispatchEvent(new Event(lost ? "lost" : "back"));
  if (lost) setTimeout(look, RETRY);
}

const look = () =>
  fetch(address("health/live")).then(() => report(false), () => setTimeout(look, RETRY));

let key = null; // the question for a key: asked once for all requests that wait, and not again if it is declined

function haveKey() {
  key ??= askForKey(async (given) => accepted(await reach("/v1/session", json("POST", { key: given }))));
  key.then((given) => given && (key = null));
  return key;
}
