// Uploads of files to the server, one at a time. They continue while the user looks at another view.

import { upload } from "./upload.js";

/** The uploads that are not videos yet: [{id, file, sent, rate, picture, isActive, note, error, stop}]. */
export const uploads = [];
/** The files uploaded from this page: by the video's id, `{file, picture}`. */
export const uploaded = new Map();
let count = 0, changed = () => {};

/** Call `listen(video)` after each change; `video` is a new one, or undefined. */
export const onchange = (listen) => (changed = listen);

export function add(files) {
  for (const file of files) {
    const entry = { id: `upload-${++count}`, file, sent: 0, isActive: false, stop: new AbortController() };
    uploads.push(entry);
    picture(file).then((blob) => { entry.picture = blob && URL.createObjectURL(blob); changed(); });
  }
  changed();
  next();
}

export function remove(entry) {
  entry.stop.abort();
  uploads.splice(uploads.indexOf(entry), 1);
  changed();
}

export function retry(entry) {
  entry.error = null;
  next();
  changed();
}

async function next() {
  const entry = uploads.find((one) => !one.error);
  if (!entry || uploads.some((one) => one.isActive)) return;
  entry.isActive = true;
  addEventListener("beforeunload", ask);
  const began = performance.now();
  let before = null;
  try {
    const video = await upload(entry.file, {
      signal: entry.stop.signal,
      onprogress: (sent) => {
        before ??= sent;
        Object.assign(entry, { sent, note: null, rate: ((sent - before) * 1000) / (performance.now() - began) });
        changed();
      },
      onwait: (note) => { entry.note = note; changed(); },
    });
    uploaded.set(video.id, entry);
    uploads.splice(uploads.indexOf(entry), 1);
    changed(video);
  } catch (error) {
    entry.error = error;
    changed();
  }
  entry.isActive = false;
  removeEventListener("beforeunload", ask);
  next();
}

const ask = (event) => event.preventDefault();

/** Draw a picture from the beginning of a video file; null if the browser cannot play it. */
async function picture(file) {
  const video = document.createElement("video"), canvas = document.createElement("canvas");
  video.muted = true;
  video.src = URL.createObjectURL(file);
  const on = (event) => new Promise((done, fail) => Object.assign(video, { [`on${event}`]: done, onerror: fail }));
  try {
    await on("loadeddata");
    video.currentTime = Math.min(1, video.duration / 2 || 0);
    await on("seeked");
    Object.assign(canvas, { width: 480, height: Math.round((480 * video.videoHeight) / video.videoWidth) });
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    return await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.8));
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(video.src);
  }
}
