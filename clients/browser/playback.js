// Several videos with the same frames, played in step: a frame is shown once all videos have it.

const ROUNDING = 0.0005; // seconds; containers and browsers round times
const CATCH_UP = 12; // frames apart, from which on seeking is quicker than playing faster
const PATIENCE = 60; // pictures in a row that belong to no other, until the videos are given up as a pair

/**
 * Play videos whose frames begin at `times`. `onframe(frame, pictures)` gets one picture of each, which stay valid
 * until the next call; `onstate(isPlaying)`; `onmismatch()` if the videos' times do not agree.
 */
export class Playback {
  speed = 1;
  frame = -1;
  #videos;
  #times;
  #on;
  #pairs;
  #places; // the last frame of each video
  #offsets; // browsers begin some files at another time than the server
  #pictures = [];
  #wanted = 0;
  #isSeeking = false;
  #isClosed = false;
  #lonely = 0;

  constructor(videos, times, on) {
    this.#videos = videos;
    this.#times = times;
    this.#on = on;
    this.#pairs = new Pairs(videos.length);
    this.#places = videos.map(() => 0);
    this.#offsets = videos.map(() => null);
    videos.forEach((video, side) => this.#watch(video, side));
    videos[0].addEventListener("ended", () => this.seek(this.#last));
  }

  get isPlaying() {
    return !this.#videos[0].paused;
  }

  /** Show a frame, and stay there. */
  seek(frame) {
    this.#pause();
    this.#wanted = Math.max(0, Math.min(this.#last, frame));
    if (!this.#isSeeking && this.#wanted !== this.frame) this.#go();
  }

  /** Show the frame that is `count` after the last one that was requested or shown. */
  step(count) {
    this.seek((this.isPlaying ? this.frame : this.#wanted) + count);
  }

  /** Continue to play, or stop on the frame that is shown. */
  async toggle() {
    if (this.isPlaying) return this.seek(this.frame);
    if (this.frame >= this.#last) await this.#moved(0);
    this.#keepUp();
    await Promise.all(this.#videos.map((video) => video.play())).catch(() => this.#pause());
    this.#on.onstate(this.isPlaying);
  }

  close() {
    this.#isClosed = true;
    this.#pairs.clear();
    for (const picture of this.#pictures) picture.close();
    for (const video of this.#videos) video.removeAttribute("src"), video.load();
  }

  get #last() {
    return this.#times.length - 1;
  }

  #pause() {
    for (const video of this.#videos) video.pause();
    this.#on.onstate(false);
  }

  async #go() {
    this.#isSeeking = true;
    const wanted = this.#wanted;
    await this.#moved(wanted);
    this.#isSeeking = false;
    if (wanted !== this.#wanted && !this.isPlaying) this.#go();
  }

  #moved(frame) {
    this.#wanted = frame;
    return Promise.all(this.#videos.map((video, side) => new Promise((done) => {
      video.addEventListener("seeked", done, { once: true });
      video.currentTime = within(this.#times, frame) + (this.#offsets[side] ?? 0);
    })));
  }

  #watch(video, side) {
    const take = () => this.#isClosed || video.readyState < 2 || this.#take(video, side);
    const next = (call) => (video.requestVideoFrameCallback ?? requestAnimationFrame).call(
      video.requestVideoFrameCallback ? video : globalThis, call);
    const again = () => {
      take();
      if (!this.#isClosed) next(again);
    };
    for (const event of ["loadeddata", "seeked"]) video.addEventListener(event, take);
    next(again);
  }

  // A VideoFrame carries the time of its own picture; the element's clock may be one picture ahead.
  #take(video, side) {
    const picture = new VideoFrame(video), time = picture.timestamp / 1e6;
    this.#offsets[side] ??= time - this.#times[0];
    const frame = frameAt(this.#times, time - this.#offsets[side]);
    this.#places[side] = frame;
    const found = this.#pairs.put(side, frame, picture);
    this.#lonely = found ? 0 : this.#lonely + 1;
    if (found) this.#show(found);
    else if (this.#lonely > PATIENCE) this.#on.onmismatch();
    if (this.isPlaying) this.#keepUp();
  }

  #show({ frame, pictures }) {
    for (const picture of this.#pictures) picture.close();
    this.#pictures = pictures;
    this.frame = frame;
    if (this.isPlaying) this.#wanted = frame;
    this.#on.onframe(frame, pictures);
  }

  #keepUp() {
    this.#videos.forEach((video, side) => {
      const behind = this.#places[0] - this.#places[side];
      if (Math.abs(behind) > CATCH_UP && !video.seeking) video.currentTime = this.#videos[0].currentTime;
      video.playbackRate = this.speed * Math.max(0.8, Math.min(1.25, 1 + behind * 0.03));
    });
  }
}

/** Return the number of the frame that is shown at `time`; `times` are when each frame begins, in seconds. */
export function frameAt(times, time) {
  let low = 0, high = times.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time + ROUNDING) low = middle;
    else high = middle;
  }
  return low;
}

/** Return a time well inside a frame, so that rounding never leads to a neighbour. */
export function within(times, frame) {
  const length = (times[frame + 1] ?? 2 * times[frame] - (times[frame - 1] ?? times[frame] - 0.04)) - times[frame];
  return times[frame] + Math.min(length / 2, 0.1);
}

/** Holds the last pictures of each side until all sides have the same frame. Pictures are closed when dropped. */
export class Pairs {
  #sides;
  #most;

  constructor(sides, most = 4) {
    this.#sides = Array.from({ length: sides }, () => new Map());
    this.#most = most;
  }

  /** Take a side's picture; return `{frame, pictures}` of the newest frame that all have, or null. */
  put(side, frame, picture) {
    const held = this.#sides[side];
    held.get(frame)?.close();
    held.delete(frame);
    held.set(frame, picture);
    if (held.size > this.#most) drop(held, held.keys().next().value);
    const common = [...held.keys()].filter((one) => this.#sides.every((other) => other.has(one)));
    return common.length ? this.#take(Math.max(...common)) : null;
  }

  clear() {
    for (const held of this.#sides) for (const frame of [...held.keys()]) drop(held, frame);
  }

  #take(frame) {
    const pictures = this.#sides.map((held) => held.get(frame));
    for (const held of this.#sides) {
      held.delete(frame);
      for (const older of [...held.keys()].filter((one) => one < frame)) drop(held, older);
    }
    return { frame, pictures };
  }
}

function drop(held, frame) {
  held.get(frame).close();
  held.delete(frame);
}
