// The REST API. Every failure is an Error whose message is a sentence for people.

import { texts } from "./texts.js";

/** Where the server is: the page's own folder, so that a proxy may serve it under a path. */
export const base = new URL(".", document.baseURI);
export const address = (path) => new URL(path.replace(/^\//, ""), base);
export const socketAddress = (path) => {
  const url = address(path);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
};

/** A request that failed: `status`, `code` and the server's sentence. */
export class Refused extends Error {
  constructor(status, body) {
    super([body.detail, ...(body.errors ?? []).map((one) => `${one.field}: ${one.detail}.`)].join(" "));
    Object.assign(this, { status, code: body.code });
  }
}

/** Send a request and return its JSON, or null for an empty answer. `body` is sent as JSON. */
export async function call(method, path, body) {
  const answer = await request(path, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return answer.status === 204 ? null : answer.json();
}

/** `fetch` on the server. Raises Refused, or an Error if the server cannot be reached. */
export async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(address(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(texts.errors.unreachable);
  }
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({ detail: texts.errors.status(answer.status) })));
  return answer;
}

/** Follow server-sent events: `on[kind](data)`; returns a function that stops. */
export function events(path, on) {
  const source = new EventSource(address(path));
  for (const [kind, take] of Object.entries(on))
    source.addEventListener(kind, (event) => take(event.data ? JSON.parse(event.data) : event));
  return () => source.close();
}
