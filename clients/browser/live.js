// The view "live": a camera, a video file, a demonstration or a stream of the server, under its masks.

import { call } from "./api.js";
import { finish, openCamera, play } from "./capture.js";
import { legend } from "./legend.js";
import { Meter } from "./meter.js";
import { numbers } from "./numbers.js";
import { painter } from "./paint.js";
import { follow, push } from "./session.js";
import { invitation, sources } from "./sources.js";
import { stage } from "./stage.js";
import { texts } from "./texts.js";
import { h, problem } from "./ui.js";

// How masks are drawn; kept while the page is open.
const look = { mode: "over", opacity: 0.55, hidden: new Set(), isolated: null };

const OPEN = {
  camera: openCamera,
  file: (file) => file,
  demo: async () => (await import("./demo.js")).demoStream(),
};

/** Fill `root`; with `name`, watch this stream of the server at once. Returns a function that stops. */
export function show(root, name) {
  const view = new Live(root);
  if (name) view.begin("stream", name);
  return () => view.close();
}

class Live {
  #meter = new Meter();
  #numbers = numbers();
  #side = h("div", {});
  #turn = 0; // Counts what was begun, so that what a camera answers too late is left alone.
  #stop = null;
  #painter = null;
  #legend = null;
  #areas = null;

  constructor(root) {
    const begin = (kind, detail) => this.choose(kind, detail);
    this.sources = sources(begin);
    this.stage = stage(look, {
      sources: this.sources.node, numbers: this.#numbers.node, repaint: () => this.repaint(),
      snapshot: () => this.#painter?.snapshot(), stop: () => this.leave(),
    });
    this.invitation = invitation(begin);
    root.append(h("h1", { class: "unseen" }, texts.live.title),
      h("div", { class: "live" }, this.stage.node, this.#side));
    this.timers = [setInterval(() => this.refresh(), 250), setInterval(() => this.#meter.tick(performance.now()), 1000)];
    this.rest();
    this.describe();
  }

  /** Show the classes before anything runs. */
  async describe() {
    const { models } = await call("GET", "v1/models").catch(() => ({ models: [] }));
    if (!this.#legend && models.length) this.list(models[0].spec.classes);
  }

  list(classes) {
    this.#legend = legend(classes, look, () => this.repaint());
    this.#side.replaceChildren(this.#legend.node);
  }

  choose(kind, detail) {
    if (kind === "stream") location.hash = `#/live/${encodeURIComponent(detail)}`;
    else this.begin(kind, detail);
  }

  async begin(kind, detail) {
    this.end();
    const mine = this.#turn, on = this.events();
    this.#meter = new Meter();
    this.stage.run();
    this.sources.mark(kind, detail);
    try {
      if (kind === "stream") this.#stop = follow(detail, on);
      else this.push(kind, await play(await OPEN[kind](detail)), mine, on);
    } catch (error) {
      if (mine === this.#turn) this.fail(error);
    }
  }

  push(kind, video, mine, on) {
    if (mine !== this.#turn) return finish(video);
    const stop = push(video, on);
    this.#stop = () => (stop(), finish(video));
    if (kind !== "camera") return;
    const [track] = video.srcObject.getVideoTracks();
    track.onended = () => this.fail(new Error(texts.live.gone));
    this.sources.mark(kind, track.getSettings().deviceId);
  }

  events() {
    return {
      onready: ({ model }) => this.ready(model),
      onmask: (mask, picture, latency) => this.paint(mask, picture, latency),
      onlost: (count) => this.#meter.drop(count),
      onstate: (state, why) => (state === "ended" ? this.fail(new Error(why || texts.live.ended)) : this.stage.say(state)),
      onerror: (error) => this.stage.warn(error.message),
    };
  }

  ready(model) {
    this.model = model;
    if (this.#painter) return;
    this.list(model.classes);
    this.#painter = painter(this.stage.canvas, model.classes);
    this.repaint();
  }

  paint(mask, picture, latency) {
    const { labels, width, height, memory, areas } = mask;
    this.#meter.mask(performance.now(), latency, memory, this.model.memory_frames);
    this.#areas = areas;
    this.#painter.draw(picture, labels, width, height);
  }

  repaint() {
    Object.assign(this.#painter ?? {}, look);
    this.#painter?.refresh();
  }

  refresh() {
    this.#numbers.show(this.#meter, performance.now());
    if (this.#areas) this.#legend.show(this.#areas);
  }

  /** Stop, and show why. */
  fail(error) {
    this.end();
    this.rest(problem(error));
  }

  rest(why) {
    this.stage.rest(this.invitation.node, why);
    this.invitation.refresh();
  }

  end() {
    this.#turn += 1;
    this.#stop?.();
    this.#stop = this.#areas = null;
    this.#painter?.close();
    this.#painter = null;
  }

  leave() {
    this.end();
    if (location.hash.startsWith("#/live/")) location.hash = "#/live";
    else this.rest();
  }

  close() {
    this.end();
    this.stage.close();
    this.timers.forEach(clearInterval);
  }
}
