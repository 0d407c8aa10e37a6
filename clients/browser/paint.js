// Paints masks over their pictures: in a worker if the browser has OffscreenCanvas, else on the page.

import { brush } from "./brush.js";

// For each mode the panes, from left to right, and whether they show [the picture, the mask].
const PANES = { over: [[1, 1]], mask: [[0, 1]], beside: [[1, 0], [0, 1]] };

/** Return a Painter for a canvas; `classes` are those of the model: [{name, colour: [red, green, blue]}]. */
export const painter = (canvas, classes) => new Painter(canvas, classes);

/**
 * Paints frames. While one is being drawn, only the newest of the others is kept. Set `opacity` (0..1),
 * `mode` ("over" the picture, the "mask" alone, or "beside" the picture), `isolated` (a class, or null) and
 * `hidden` (a Set of classes), then call `refresh`.
 */
class Painter {
  opacity = 0.55;
  mode = "over";
  isolated = null;
  hidden = new Set();
  #classes;
  #started;
  #hand = null;
  #next; // what waits for the hand: a frame, null to draw the last one again, or undefined
  #isBusy = true;
  #isBlank = true;
  #isClosed = false;

  constructor(canvas, classes) {
    this.#classes = classes;
    const next = () => this.#go();
    this.#started = remote(canvas, next).catch(() => local(canvas, next)).then((hand) => {
      this.#hand = hand;
      if (this.#isClosed) hand.close();
      this.#go();
      return hand;
    });
  }

  /** Draw a mask over its picture (an ImageBitmap or a VideoFrame, which is then closed; or null). */
  draw(picture, labels, width, height) {
    this.#next?.picture?.close();
    this.#next = { picture, labels, width, height };
    this.#isBlank = false;
    if (this.#isClosed) picture?.close();
    else if (!this.#isBusy) this.#go();
  }

  /** Draw the last frame again with the current settings. */
  refresh() {
    if (this.#isBlank) return;
    this.#next ??= null;
    if (!this.#isBusy) this.#go();
  }

  /** Return the canvas's content as a PNG Blob. */
  async snapshot() {
    return (await this.#started).shot(this.#look());
  }

  /** Stop drawing. Idempotent. */
  close() {
    this.#isClosed = true;
    this.#next?.picture?.close();
    this.#hand?.close();
  }

  #go() {
    const frame = this.#next;
    this.#isBusy = frame !== undefined && !this.#isClosed;
    this.#next = undefined;
    if (this.#isBusy) this.#hand.draw(frame, this.#look());
  }

  #look() {
    const palette = new Uint8Array(1024), strength = this.mode === "over" ? this.opacity : 1;
    const isShown = (index) => !this.hidden.has(index) && (this.isolated ?? index) === index;
    this.#classes.forEach(({ colour }, index) =>
      palette.set([...colour, isShown(index) ? 255 * strength : 0], index * 4));
    return { palette, panes: PANES[this.mode] };
  }
}

/** Draw on the page. */
function local(canvas, ondrawn) {
  const { draw, shot } = brush(canvas);
  return { draw: (frame, look) => draw(frame, look).finally(ondrawn), shot, close() {} };
}

/** Draw in a worker. The canvas is handed over only once the worker runs. */
async function remote(canvas, ondrawn) {
  const worker = new Worker(new URL("./paint-worker.js", import.meta.url), { type: "module" });
  const blobs = [];
  await new Promise((resolve, reject) => Object.assign(worker, { onmessage: resolve, onerror: reject }));
  const offscreen = canvas.transferControlToOffscreen();
  worker.postMessage({ canvas: offscreen }, [offscreen]);
  worker.onmessage = ({ data: { blob } }) => (blob ? blobs.shift()(blob) : ondrawn());
  return {
    draw(frame, look) {
      worker.postMessage({ frame, look }, frame?.picture ? [frame.picture] : []);
    },
    shot(look) {
      worker.postMessage({ shot: true, look });
      return new Promise((resolve) => blobs.push(resolve));
    },
    close: () => worker.terminate(),
  };
}
