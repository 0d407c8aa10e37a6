// The shares of all classes over time, stacked, which is also the bar to seek with.

import { texts } from "./texts.js";
import { clock, css, h, percent } from "./ui.js";

const HEIGHT = 1000;

/** Return the classes of a summary that are ever present, each with its mean shares in at most `most` steps of time. */
export function shares({ classes, frames }, most = 400) {
  const bins = Math.min(most, frames.length), size = frames.length / bins;
  const of = (name) => Array.from({ length: bins }, (_, bin) => {
    const some = frames.slice(Math.floor(bin * size), Math.floor((bin + 1) * size));
    return some.reduce((sum, { areas }) => sum + (areas[name] ?? 0), 0) / some.length;
  });
  return classes.map((one) => ({ ...one, shares: of(one.name) })).filter((one) => Math.max(...one.shares) > 0);
}

/** Stack those classes that are not `hidden`: return an SVG path for each, and the largest sum, which is the height. */
export function stack(classes, hidden) {
  const shown = classes.filter(({ name }) => !hidden.has(name));
  const sums = classes[0].shares.map((_, bin) => shown.reduce((sum, one) => sum + one.shares[bin], 0));
  const peak = Math.max(...sums) || 1, floor = sums.map(() => 0);
  const paths = shown.map(({ name, colour, shares: ours }) => {
    const low = line(floor, peak).reverse();
    ours.forEach((share, bin) => (floor[bin] += share));
    return { name, colour, path: `M${[...line(floor, peak), ...low].join("L")}Z` };
  });
  return { peak, paths };
}

const line = (heights, peak) =>
  (heights.length > 1 ? heights : [heights[0], heights[0]]).map((y, x) => `${x} ${Math.round(HEIGHT * (1 - y / peak))}`);

/** Return a frame's number, and its time to hundredths of a second, as text. */
export const place = (frames, frame) => {
  const { time } = frames[frame], whole = Math.floor(time + 0.005);
  return texts.videos.frame(frame + 1, frames.length, `${clock(whole)}.${String(Math.round((time - whole) * 100)).padStart(2, "0")}`);
};

/** Return `{node, set(frame)}`: chart, seek bar and legend of a summary. `onseek(frame)` is called when the user seeks. */
export function chart(summary, onseek) {
  const classes = shares(summary), hidden = new Set(), { frames } = summary;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${Math.max(1, (classes[0]?.shares.length ?? 1) - 1)} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const peak = h("span", { class: "peak small number" });
  const bar = h("input", {
    type: "range", min: "0", max: String(frames.length - 1), value: "0", step: "1",
    "aria-label": texts.videos.seek, oninput: () => onseek(Number(bar.value)),
  });
  const keys = classes.map((one) => key(one, hidden, draw));

  function draw() {
    const { peak: top, paths } = classes.length ? stack(classes, hidden) : { peak: 1, paths: [] };
    svg.innerHTML = paths.map(({ colour, path }) => `<path d="${path}" fill="${css(colour)}"/>`).join("");
    peak.textContent = percent(top);
  }

  function set(frame) {
    const { areas } = frames[frame];
    bar.value = frame;
    bar.setAttribute("aria-valuetext", place(frames, frame));
    for (const { name, share } of keys) share.textContent = percent(areas[name] ?? 0);
  }

  draw();
  const node = h("section", { class: "chart", "aria-label": texts.videos.chart },
    h("div", { class: "plot" }, svg, peak, bar), h("ul", { class: "row keys" }, keys.map(({ node: one }) => one)));
  return { node, set };
}

function key({ name, colour }, hidden, draw) {
  const swatch = h("span", { class: "swatch" }), share = h("span", { class: "number soft" });
  swatch.style.setProperty("--colour", css(colour));
  const toggle = h("button", {
    type: "button", class: "quiet", "aria-pressed": "true",
    onclick: () => {
      if (!hidden.delete(name)) hidden.add(name);
      toggle.setAttribute("aria-pressed", String(!hidden.has(name)));
      draw();
    },
  }, swatch, name, share);
  return { name, share, node: h("li", {}, toggle) };
}
