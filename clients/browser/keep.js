// Saves a picture or a video of the canvas.

import { h } from "./ui.js";

const KINDS = ["video/webm;codecs=vp9", "video/webm", "video/mp4"];
const LARGEST = 2 ** 30; // A recording ends at this many bytes, since the browser holds it.

/** Offer `blob` as a download. */
export function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** A file name such as `mastream-2026-01-31T12-30-00.png`. */
export const named = (suffix, now = new Date()) => `mastream-${now.toISOString().slice(0, 19).replaceAll(":", "-")}.${suffix}`;

/** Record a canvas until the returned function is called, or the video is large; then save it and call `ended`. */
export function film(canvas, ended) {
  const mimeType = KINDS.find((kind) => MediaRecorder.isTypeSupported(kind));
  const recorder = new MediaRecorder(canvas.captureStream(), { mimeType });
  const parts = [];
  let size = 0;
  recorder.ondataavailable = ({ data }) => {
    parts.push(data);
    size += data.size;
    if (size > LARGEST) stop();
  };
  recorder.onstop = () => {
    save(new Blob(parts, { type: mimeType }), named(mimeType.includes("mp4") ? "mp4" : "webm"));
    ended();
  };
  const stop = () => recorder.state !== "inactive" && recorder.stop();
  recorder.start(1000);
  return stop;
}
