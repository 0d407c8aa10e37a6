// Uploads a file in parts (tus 1.0.0): parts that have arrived survive lost connections, restarts and reloads.

import { Refused, accepted, address, call, request } from "./api.js";
import { texts } from "./texts.js";

const LONGEST_PAUSE = 15; // seconds
const TRY_AGAIN = new Set(["offset_mismatch", "taken_over", "not_found", "too_slow"]);

/**
 * Upload a file and return its video. After a lost connection it continues; if `signal` aborts, the upload is removed.
 * `onprogress(bytes)` receives the number of bytes sent; `onwait(sentence)` the reason why the upload waits.
 */
export async function upload(file, { onprogress, onwait, signal }) {
  const slot = `upload ${file.name} ${file.size} ${file.lastModified}`;
  const key = (localStorage[slot] ??= [...crypto.getRandomValues(new Uint32Array(4))].join("-"));
  for (let pause = 1; ; pause = Math.min(LONGEST_PAUSE, 2 * pause)) {
    const begun = { place: null };
    try {
      const video = await send(file, key, onprogress, signal, begun);
      delete localStorage[slot];
      return call("GET", video);
    } catch (error) {
      if (signal.aborted && begun.place) call("DELETE", begun.place).catch(() => {});
      if (signal.aborted || !isPassing(error)) {
        delete localStorage[slot];
        throw error;
      }
      onwait(error.message);
      await sleep(pause * (0.5 + Math.random() / 2), signal);
    }
  }
}

const isPassing = (error) => !(error instanceof Refused) || error.status >= 500 || TRY_AGAIN.has(error.code);

/** Send the bytes of a file that the server lacks; return its video's path. */
async function send(file, key, onprogress, signal, begun) {
  const name = btoa(String.fromCharCode(...new TextEncoder().encode(file.name)));
  const { headers } = await request("v1/uploads", { method: "POST", signal, headers: {
    "Tus-Resumable": "1.0.0", "Upload-Length": file.size, "Upload-Metadata": `filename ${name}`, "Idempotency-Key": key,
  } });
  begun.place = headers.get("Location");
  const offset = Number(headers.get("Upload-Offset"));
  return headers.get("Video-Location") ?? patch(begun.place, file, offset, (bytes) => onprogress(offset + bytes), signal);
}

// fetch does not report the progress of an upload.
function patch(place, file, offset, onprogress, signal) {
  return new Promise((done, fail) => {
    const sending = new XMLHttpRequest(), stop = () => sending.abort();
    sending.open("PATCH", address(place));
    for (const [name, value] of [["Tus-Resumable", "1.0.0"], ["Upload-Offset", offset], ["Content-Type", "application/offset+octet-stream"]])
      sending.setRequestHeader(name, value);
    sending.upload.onprogress = ({ loaded }) => onprogress(loaded);
    sending.onload = () =>
      accepted(new Response(sending.responseText || null, sending)).then(() => done(sending.getResponseHeader("Video-Location")), fail);
    sending.onerror = () => fail(new Error(texts.videos.lost));
    sending.onabort = () => fail(signal.reason);
    sending.onloadend = () => signal.removeEventListener("abort", stop);
    signal.addEventListener("abort", stop);
    sending.send(file.slice(offset));
  });
}

const sleep = (seconds, signal) => new Promise((done, fail) => {
  const timer = setTimeout(done, seconds * 1000);
  signal.addEventListener("abort", () => (clearTimeout(timer), fail(signal.reason)), { once: true });
});
