// The live numbers, each above a line of its last minute.

import { sparkline } from "./meter.js";
import { texts } from "./texts.js";
import { h } from "./ui.js";

// The minimum value at the top of each line, so that small changes look small.
const LEAST = { rate: 5, latency: 100, drops: 5, memory: 1, resets: 1 };

/** Tiles of numbers: `show(meter, now)` fills them. */
export function numbers() {
  const tiles = Object.keys(LEAST).map(tile);
  const node = h("dl", { class: "card numbers" }, tiles.map((one) => one.node));
  return { node, show: (meter, now) => tiles.forEach((one) => one.show(meter, words(meter, now))) };
}

function tile(name) {
  const value = h("dd", { class: "number" }, "–"), chart = line();
  const node = h("div", { title: texts.live.about[name] }, h("dt", { class: "small soft" }, texts.live.numbers[name]), value, chart);
  return {
    node,
    show(meter, shown) {
      value.textContent = shown[name];
      chart.firstChild.setAttribute("d", sparkline(meter.history[name], LEAST[name]));
    },
  };
}

function line() {
  const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg");
  for (const [name, value] of [["viewBox", "0 0 60 20"], ["preserveAspectRatio", "none"], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
  svg.append(document.createElementNS(space, "path"));
  return svg;
}

function words(meter, now) {
  const { rate, latency } = meter.recent(now), [filled, frames] = meter.memory;
  return {
    rate: texts.live.perSecond(rate.toFixed(rate < 9.95 ? 1 : 0)),
    latency: latency === null ? "–" : texts.live.ms(Math.round(latency)),
    drops: meter.drops,
    memory: texts.live.of(filled, frames),
    resets: meter.resets,
  };
}
