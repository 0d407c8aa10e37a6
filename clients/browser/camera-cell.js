// One cell of the view "cameras": a stream's picture, its state and its buttons.

import { address } from "./api.js";
import { texts } from "./texts.js";
import { confirmed, h, icon, iconButton, toast } from "./ui.js";

const STILLS = 1000; // ms between pictures that do not move
const KINDS = { live: "good", connecting: "warn", stalled: "warn", backoff: "warn", failed: "bad", recording: "bad" };
const IDLE = ["paused", "ended", "failed"];
const words = texts.cameras;

/** Return a cell: its `node`, `update(stream, how)` and `stop()`; `change(method, path, body)` is called. */
export function cameraCell(name, change) {
  const path = `/v1/streams/${name}`, patch = (body) => change("PATCH", path, body);
  const img = h("img", { alt: "", loading: "lazy", hidden: true }), picture = changing(img);
  const why = h("p"), chip = h("span", { class: "chip" }), numbers = h("p", { class: "small soft number" });
  const pause = h("button", { type: "button", class: "quiet icon" });
  const record = h("button", { type: "button", class: "quiet icon" });
  const remove = async () =>
    (await confirmed(words.removing(name), words.removal, words.doRemove)) && change("DELETE", path);
  const remover = iconButton("remove", words.remove(name), remove);
  const node = h("article", { class: "card camera" },
    h("a", { class: "screen", href: `#/live/${name}`, "aria-label": words.open(name) }, img, why),
    h("div", { class: "head" }, h("h2", {}, name), chip),
    h("div", { class: "head" }, numbers, h("div", { class: "row" }, record, pause, remover)));

  let recording = null;

  function update(stream, { moves, overlay, changes, records }) {
    const shown = stream.state === "live" || (stream.state === "stalled" && stream.masks > 0);
    why.textContent = stream.detail || words.idle[stream.state] || "";
    const state = stream.recording ? "recording" : stream.state;
    chip.className = `chip ${KINDS[state] ?? ""}`;
    chip.textContent = words.states[state];
    numbers.textContent = shown ? measures(stream) : "";
    offer(pause, IDLE.includes(stream.state) ? "resume" : "pause", (does) => patch({ paused: does === "pause" }));
    offer(record, stream.recording ? "stop" : "record", (does) => patch({ record: does === "record" }));
    if (recording && !stream.recording) toast(words.recorded, saved(recording));
    recording = stream.recording;
    record.hidden = !records || !(shown || recording);
    pause.hidden = remover.hidden = !changes;
    picture(shown && `${path}/${moves ? "preview" : "snapshot"}?overlay=${overlay}`, moves ? null : STILLS);
  }

  function offer(button, does, act) {
    if (button.dataset.does === does) return;
    button.dataset.does = does;
    button.title = words[does](name);
    button.setAttribute("aria-label", button.title);
    button.replaceChildren(icon(does === "resume" ? "play" : does));
    button.onclick = () => act(does);
  }

  return { node, update, stop: () => picture(null) };
}

/** Return the cell of a stream that another server pulls: a link to that server's page, if its address is known. */
export function foreignCell({ name, server }) {
  const why = h("p", {}, server ? words.elsewhere(new URL(server).host) : words.nowhere);
  const link = { href: server && `${server.replace(/\/$/, "")}/#/live/${name}`, "aria-label": words.open(name) };
  return h("article", { class: "card camera" },
    server ? h("a", { class: "screen", ...link }, why) : h("div", { class: "screen" }, why),
    h("div", { class: "head" }, h("h2", {}, name)));
}

const saved = (id) => h("a", { href: address(`/v1/recordings/${id}`), download: "" }, words.download);

function measures({ rates, drops }) {
  const lost = Object.values(drops).reduce((sum, count) => sum + count, 0);
  return [
    words.rate(rates.fps_out),
    rates.latency_p50 !== null && words.latency(rates.latency_p50),
    lost > 0 && words.lost(lost),
  ].filter(Boolean).join(" · ");
}

// Return show(path, pause): shows the picture at a path, again after each `pause` in ms if there is one; null stops.
function changing(img) {
  let shown = null, timer;
  const load = (path) => (img.src = address(`${path}&at=${Date.now()}`));
  img.addEventListener("error", () => show(null));

  function show(path, pause) {
    if (path === shown) return;
    shown = path;
    clearTimeout(timer);
    img.hidden = !path;
    img.onload = pause && (() => (timer = setTimeout(load, pause, path)));
    if (path) load(path);
    else img.removeAttribute("src"); // which closes the connection
  }

  return show;
}
