// The result of one video: source and result side by side or with a divider, and the chart below.

import { chart, place } from "./chart.js";
import { Playback } from "./playback.js";
import { texts } from "./texts.js";
import { h, icon, iconButton, problem, segmented } from "./ui.js";

const WIDEST = 1920; // pixels of one picture on the canvas
const SPEEDS = [0.25, 0.5, 1, 2];
const VIEWS = ["compare", "side", "result"];

/** Return `{node, stop}`: a player of `result` and, if the browser can play it, `source`, both addresses. */
export function player(source, result, summary, size) {
  const words = texts.videos, times = summary.frames.map(({ time }) => time);
  const canvas = h("canvas", { role: "img", "aria-label": words.picture });
  const divider = h("input", { type: "range", class: "divider", min: "0", max: "100", step: "0.5", value: "50", "aria-label": words.divider, oninput: paint });
  const note = h("div", { class: "note" }), readout = h("output", { class: "number soft" }, "\u00a0");
  const play = iconButton("play", words.play, () => playback.toggle());
  const speed = h("select", { "aria-label": words.speed, onchange: () => (playback.speed = Number(speed.value)) },
    SPEEDS.map((one) => h("option", { value: String(one), selected: one === 1 }, `${one}×`)));
  const views = segmented(words.views, VIEWS.map((one) => [one, one]), "compare", (chosen) => { view = chosen; paint(); });
  const tags = Object.fromEntries(["source", "result"].map((one) => [one, h("span", { class: `tag ${one}` }, words[one])]));
  const stage = h("div", { class: "pair" }, canvas, divider, tags.source, tags.result);
  const { node: plot, set } = chart(summary, (frame) => playback.seek(frame));
  const narrow = matchMedia("(max-width: 40rem)");
  let view = "compare", pictures = [], playback;

  function begin(addresses) {
    playback?.close();
    const videos = addresses.map((src) => h("video", { src, muted: true, preload: "auto", playsinline: true }));
    videos[1]?.addEventListener("error", () => alone(words.unplayable));
    videos[0].addEventListener("error", () => note.replaceChildren(problem(new Error(words.unplayableResult))));
    playback = new Playback(videos, times, { onframe: show, onstate, onmismatch: () => alone(words.unmatched) });
    views.hidden = videos.length < 2;
    if (videos.length < 2) view = "result";
  }

  function alone(sentence) {
    note.replaceChildren(h("p", { class: "small soft", role: "status" }, sentence));
    begin([result]);
  }

  function show(frame, shown) {
    pictures = shown;
    set(frame);
    readout.textContent = place(summary.frames, frame);
    paint();
  }

  function paint() {
    const parts = layout(view, narrow.matches, size, divider.value / 100);
    Object.assign(stage.dataset, { view });
    stage.style.setProperty("--at", `${divider.value}%`);
    stage.style.setProperty("--ratio", parts.width / parts.height);
    divider.hidden = view !== "compare";
    if (canvas.width !== parts.width || canvas.height !== parts.height) Object.assign(canvas, { width: parts.width, height: parts.height });
    if (pictures.length) draw(canvas.getContext("2d"), pictures, parts);
  }

  function onstate(isPlaying) {
    play.replaceChildren(icon(isPlaying ? "pause" : "play"));
    play.title = isPlaying ? words.pause : words.play;
    play.setAttribute("aria-label", play.title);
  }

  function onkey(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -times.length, End: times.length };
    if (event.target.closest("input, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && !event.target.closest("button, a, summary")) playback.toggle();
    else if (steps[event.key]) playback.step(steps[event.key] * (event.shiftKey ? 10 : 1));
    else return;
    event.preventDefault();
  }

  begin(source ? [result, source] : [result]);
  paint();
  addEventListener("keydown", onkey);
  narrow.addEventListener("change", paint);
  const controls = h("div", { class: "row" },
    iconButton("back", words.previous, () => playback.step(-1)), play, iconButton("next", words.following, () => playback.step(1)),
    readout, speed, views);
  return {
    node: h("section", { class: "player", "aria-label": words.player }, stage, controls, note, plot),
    stop: () => {
      removeEventListener("keydown", onkey);
      narrow.removeEventListener("change", paint);
      playback.close();
    },
  };
}

/** Where the pictures are on a canvas: `{width, height, source, result}`, the last two as [x, y, share from the left]. */
function layout(view, isNarrow, { width, height }, at) {
  const scale = Math.min(1, WIDEST / width), w = Math.round(width * scale), h = Math.round(height * scale);
  const beside = view === "side";
  const across = beside && !isNarrow ? 2 : 1, down = beside && isNarrow ? 2 : 1;
  const parts = { width: w * across, height: h * down, w, h, result: [0, 0, 1], source: null };
  if (beside) Object.assign(parts, { source: [0, 0, 1], result: [w * (across - 1), h * (down - 1), 1] });
  if (view === "compare") parts.source = [0, 0, at];
  return parts;
}

function draw(context, [result, source], parts) {
  for (const [picture, place] of [[result, parts.result], [source, parts.source]]) {
    if (!picture || !place) continue;
    const [x, y, share] = place;
    context.drawImage(picture, 0, 0, picture.displayWidth * share, picture.displayHeight, x, y, parts.w * share, parts.h);
  }
}
