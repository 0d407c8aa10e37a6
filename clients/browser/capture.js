// The source of frames: cameras and files play in a video element, and a worker encodes its frames.

import { texts } from "./texts.js";

const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };

/** Cameras of this device; names and ids are empty until one has been allowed. */
export const cameras = async () =>
  ((await navigator.mediaDevices?.enumerateDevices()) ?? []).filter((one) => one.kind === "videoinput" && one.deviceId);

/** Ask for a camera. Raises an Error whose message says what to do. */
export async function openCamera(deviceId) {
  if (!navigator.mediaDevices) throw new Error(texts.live.insecure);
  try {
    const wish = { ...CAMERA, ...(deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "environment" }) };
    return await navigator.mediaDevices.getUserMedia({ video: wish });
  } catch (error) {
    throw new Error(texts.live.camera[error.name] ?? texts.live.camera.other(error.message));
  }
}

/** Play a MediaStream or a File. Raises an Error if the browser cannot. */
export async function play(what) {
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, loop: true });
  if (what instanceof MediaStream) video.srcObject = what;
  else video.src = URL.createObjectURL(what);
  try {
    await video.play();
    return video;
  } catch {
    finish(video);
    throw new Error(texts.live.unplayable(what.name ?? ""));
  }
}

/** Stop a video of `play`, and its camera. */
export function finish(video) {
  video.pause();
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  if (video.src) URL.revokeObjectURL(video.src);
  video.srcObject = null;
  video.removeAttribute("src");
}

/** Call `take` for each new frame while the page is visible; returns a function that stops. */
export function eachFrame(video, take) {
  let running = true;
  const next = () => (video.requestVideoFrameCallback ? video.requestVideoFrameCallback(step) : requestAnimationFrame(step));
  const step = () => {
    if (!running) return;
    next();
    take();
  };
  next();
  return () => (running = false);
}

/** Encodes one frame at a time: `encode(video, {width, height, quality})` -> {jpeg, picture}. */
export function encoder() {
  const worker = new Worker(new URL("capture-worker.js", import.meta.url), { type: "module" });
  return {
    async encode(video, shape) {
      const frame = globalThis.VideoFrame ? new VideoFrame(video) : await createImageBitmap(video);
      return new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
        worker.postMessage({ frame, ...shape }, [frame]);
      });
    },
    close: () => worker.terminate(),
  };
}
