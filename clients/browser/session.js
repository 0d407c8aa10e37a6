// One live session: frames go to the server, or masks of a pulled stream come from it, each with its picture.

import { adapt, shape, START } from "./adapt.js";
import { socketAddress } from "./api.js";
import { eachFrame, encoder } from "./capture.js";
import { openStream, watch } from "./stream.js";

const GAP = 2000; // After this many ms of a hidden page, the memory is out of date.

// The page's streams stay at its own address wherever a server sends them: its policy allows no other host, which
// would not receive its cookie either.
const here = (path) => () => socketAddress(path);

/**
 * Send the frames of a playing video. `on` has onready(ready), onmask(mask, picture, latency),
 * onlost(count), onstate(state, sentence) and onerror(error). Returns a function that stops.
 */
export function push(video, on) {
  const coder = encoder();
  let tuning = START, readyAt = 0, busy = false;
  const stream = openStream(here("v1/stream"), {
    ...on, open: { output: "rle", size: "model" }, onready, onmask, onlost,
  });
  const stopFrames = eachFrame(video, take), stopWaking = wake(stream, on);
  const restarted = () => stream.reset();
  video.addEventListener("seeking", restarted);

  function onready(ready) {
    readyAt = performance.now();
    on.onready(ready);
  }

  async function take() {
    if (busy || !stream.hasRoom || stream.inFlight >= tuning.depth || video.readyState < 2) return;
    busy = true;
    try {
      const size = { width: video.videoWidth, height: video.videoHeight };
      const { jpeg, picture } = await coder.encode(video, shape(tuning.level, size, stream.ready.model));
      stream.send(jpeg, { pts: performance.now() / 1000, picture });
    } catch (error) {
      on.onerror(error);
    } finally {
      busy = false;
    }
  }

  function onmask(mask) {
    const latency = performance.now() - mask.sent, { queue, step } = mask.ms;
    const total = Object.values(mask.ms).reduce((sum, part) => sum + part, 0);
    // Frames that waited for a new connection say nothing about its speed.
    if (mask.sent > readyAt) tuning = adapt(tuning, { latency, queue, step, total }, stream.ready.window);
    on.onmask(mask, mask.picture, latency);
  }

  function onlost({ seqs, cause }) {
    if (cause === "newer") tuning = adapt(tuning, { lost: true }, stream.ready.window);
    on.onlost(seqs.length);
  }

  return () => {
    stopFrames();
    stopWaking();
    video.removeEventListener("seeking", restarted);
    stream.close();
    coder.close();
  };
}

/** Watch a stream that the server pulls; `on` as for `push`. Returns a function that stops. */
export function follow(name, on) {
  let shown = Promise.resolve(), stopped = false;
  const viewer = watch(here(`v1/streams/${encodeURIComponent(name)}/masks`), {
    ...on,
    open: { output: "rle", overlay: true, opacity: 0 },
    onmask: (mask) => (shown = shown.then(() => show(mask)).catch(on.onerror)),
    onlost: ({ seqs }) => on.onlost(seqs.length),
  });
  const stopWaking = wake(viewer, on);

  async function show(mask) {
    const picture = await createImageBitmap(new Blob([mask.overlay], { type: "image/jpeg" }));
    if (stopped) picture.close();
    else on.onmask(mask, picture, null);
  }

  return () => {
    stopped = true;
    stopWaking();
    viewer.close();
  };
}

// A hidden page sends no frames; one that is shown again does not wait for the next attempt to connect.
function wake(stream, on) {
  let since = 0;
  const changed = () => {
    if (document.hidden) {
      since = performance.now();
      return on.onstate("paused");
    }
    if (performance.now() - since > GAP) stream.reset();
    stream.retry();
    on.onstate(stream.state);
  };
  document.addEventListener("visibilitychange", changed);
  return () => document.removeEventListener("visibilitychange", changed);
}
