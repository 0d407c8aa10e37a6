// The classes of a model: their colours and shares, which of them are drawn, and how strongly.

import { texts } from "./texts.js";
import { css, h, iconButton, percent } from "./ui.js";

const FRESH = 0.3; // The weight of a new share against those before.

/** A legend that changes `look` {opacity, hidden: Set of indices, isolated: index or null} and calls `changed`. */
export function legend(classes, look, changed) {
  const words = texts.live.legend;
  const shares = classes.map(() => 0);
  const rows = classes.map(row);
  const opacity = h("input", { type: "range", id: "opacity", min: "0", max: "100", value: `${look.opacity * 100}`, oninput: fade });
  const all = h("button", { type: "button", class: "quiet small", onclick: showAll }, words.all);

  function row({ name, colour }, index) {
    const share = h("span", { class: "number small" }, "");
    const toggle = h("button", { type: "button", class: "quiet", title: words.toggle, onclick: () => flip(index), ondblclick: () => isolate(index) },
      h("span", { class: "swatch" }), h("span", { class: "name" }, name), share);
    const only = iconButton("eye", words.only(name), () => isolate(index));
    const node = h("li", {}, toggle, only);
    node.style.setProperty("--colour", css(colour));
    return { node, toggle, only, share };
  }

  function flip(index) {
    if (look.isolated !== null) look.isolated = null;
    else if (!look.hidden.delete(index)) look.hidden.add(index);
    update();
  }

  function isolate(index) {
    look.isolated = look.isolated === index ? null : index;
    update();
  }

  function showAll() {
    look.hidden.clear();
    look.isolated = null;
    update();
  }

  function fade() {
    look.opacity = opacity.value / 100;
    changed();
  }

  function update() {
    rows.forEach(({ toggle, only }, index) => {
      const shown = look.isolated === null ? !look.hidden.has(index) : look.isolated === index;
      toggle.setAttribute("aria-pressed", shown);
      only.setAttribute("aria-pressed", look.isolated === index);
    });
    all.disabled = look.isolated === null && !look.hidden.size;
    changed();
  }

  /** Show the shares {name: 0..1} of the newest mask, smoothed. */
  function show(areas) {
    rows.forEach(({ node, share }, index) => {
      shares[index] += ((areas[classes[index].name] ?? 0) - shares[index]) * FRESH;
      share.textContent = percent(shares[index]);
      node.style.setProperty("--share", shares[index].toFixed(3));
    });
  }

  update();
  const node = h("section", { class: "card legend", "aria-label": words.title },
    h("div", { class: "head" }, h("h2", {}, words.title), all), h("ul", {}, rows.map(({ node }) => node)),
    h("label", { class: "field small", for: "opacity" }, words.opacity, opacity));
  return { node, show };
}
