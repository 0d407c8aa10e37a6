// The stage: a canvas, its state in a word, and the tools below it.

import { film, named, save } from "./keep.js";
import { texts } from "./texts.js";
import { h, iconButton, toast } from "./ui.js";

const MODES = ["over", "beside", "mask"];
const STATES = { connecting: "", live: "good", waiting: "warn", paused: "" };

/** The stage and its tools; `repaint` is called after `look.mode` has changed, `stop` by the button. */
export function stage(look, { sources, numbers, repaint, snapshot, stop }) {
  const words = texts.live.tools;
  const state = h("p", { class: "chip", role: "status" });
  const screen = h("figure", { class: "stage" });
  const modes = MODES.map((mode) => h("button", { type: "button", onclick: () => choose(mode) }, texts.live.modes[mode]));
  const record = iconButton("record", words.record, () => (filming ? filming() : startFilm()), { "aria-pressed": "false" });
  const full = iconButton("full", words.full, () => (document.fullscreenElement ? document.exitFullscreen() : screen.requestFullscreen()));
  const tools = h("div", { class: "tools row" }, sources,
    iconButton("stop", words.stop, stop),
    h("div", { class: "segmented", role: "group", "aria-label": words.mode }, modes),
    iconButton("snapshot", words.snapshot, keep), record, document.fullscreenEnabled && full);
  let canvas = null, filming = null;

  function choose(mode) {
    look.mode = mode;
    modes.forEach((button, i) => button.setAttribute("aria-pressed", MODES[i] === mode));
    repaint();
  }

  async function keep() {
    const blob = await snapshot();
    if (blob) save(blob, named("png"));
  }

  function startFilm() {
    filming = film(canvas, () => mark((filming = null)));
    mark(true);
  }

  function mark(on) {
    record.setAttribute("aria-pressed", Boolean(on));
  }

  function run() {
    filming?.();
    canvas = h("canvas", { role: "img", "aria-label": texts.live.canvas });
    screen.replaceChildren(canvas, state);
    tools.hidden = numbers.hidden = false;
    say("connecting");
  }

  function rest(...content) {
    filming?.();
    screen.replaceChildren(...content.filter(Boolean));
    tools.hidden = numbers.hidden = true;
  }

  function say(name) {
    state.className = `chip ${STATES[name]}`;
    state.textContent = texts.live.states[name];
  }

  choose(look.mode);
  return { node: h("div", { class: "column" }, screen, tools, numbers), run, rest, say, warn: toast, close: () => filming?.(), get canvas() { return canvas } };
}
