// Elements, icons, numbers and messages: what all views share.

import { texts } from "./texts.js";

/** Make an element. Functions in `props` named on* are listeners; text and elements are children. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const ICONS = {
  live: "M4 7h11v10H4zM15 10.5l5-3v9l-5-3",
  videos: "M4 5h16v14H4zM4 9h16M8 5v4M16 5v4M10.5 12v4l3.5-2z",
  cameras: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  server: "M4 5h16v6H4zM4 13h16v6H4zM7.5 8h.01M7.5 16h.01",
  sun: "M12 8a4 4 0 100 8 4 4 0 000-8M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M18.4 5.6l-1.1 1.1M6.7 17.3l-1.1 1.1",
  moon: "M19 14.5A7.5 7.5 0 019.5 5a7.5 7.5 0 109.5 9.5z",
  auto: "M12 4a8 8 0 100 16zM12 4a8 8 0 010 16",
  play: "M7 5l12 7-12 7z",
  pause: "M8 5v14M16 5v14",
  stop: "M6 6h12v12H6z",
  record: "M12 7a5 5 0 100 10 5 5 0 000-10",
  snapshot: "M4 8h4l1.5-2h5L16 8h4v11H4zM12 10.5a3 3 0 100 6 3 3 0 000-6",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  download: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14",
  remove: "M5 7h14M9 7V5h6v2M7 7l1 13h8l1-13",
  add: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  link: "M7 17L17 7M9 7h8v8",
  back: "M14 6l-6 6 6 6",
  next: "M10 6l6 6-6 6",
  eye: "M3 12s3.5-6 9-6 9 6 9 6-3.5 6-9 6-9-6-9-6M12 9.5a2.5 2.5 0 100 5 2.5 2.5 0 000-5",
};

/** An icon of 24x24 strokes, hidden from screen readers. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(space, "path"));
  svg.firstChild.setAttribute("d", ICONS[name]);
  return svg;
}

/** A round button with an icon; `label` is its accessible name and its tooltip. */
export const iconButton = (name, label, onclick, more = {}) =>
  h("button", { type: "button", class: "quiet icon", "aria-label": label, title: label, onclick, ...more }, icon(name));

/** Show a sentence for a few seconds, or longer with a link; screen readers read it. */
export function toast(text, link) {
  const node = h("p", {}, text, link && " ", link);
  document.getElementById("toasts").append(node);
  setTimeout(() => node.remove(), link ? 20000 : 6000);
}

/** An error message in place of content that failed; with `retry` it has a button. */
export const problem = (error, retry) =>
  h("div", { class: "problem", role: "alert" },
    h("p", {}, error.message ?? String(error)),
    retry && h("button", { type: "button", onclick: retry }, texts.errors.retry));

/** A hint in place of an empty list; `more` are further elements, such as buttons. */
export const emptiness = (title, sentence, ...more) =>
  h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, sentence), ...more);

/** A labelled field; `hint` is a sentence below it. */
export function field(label, input, hint) {
  if (hint) input.setAttribute("aria-description", hint);
  return h("div", { class: "field" }, h("label", { class: "field" }, label, input),
    hint && h("small", { class: "soft", "aria-hidden": "true" }, hint));
}

/** Buttons of which one is pressed: `choices` are [key of words, value]; `take(value)` is called. */
export function segmented(words, choices, chosen, take) {
  const press = (value) => buttons.forEach((one, at) => one.setAttribute("aria-pressed", String(choices[at][1] === value)));
  const buttons = choices.map(([key, value]) =>
    h("button", { type: "button", onclick: () => (press(value), take(value)) }, words[key]));
  press(chosen);
  return h("div", { class: "segmented", role: "group", "aria-label": words.label }, buttons);
}

/** Open a modal dialog with the result of `build(close)`; resolves with the argument of `close`, or null. */
export function openDialog(title, build) {
  return new Promise((resolve) => {
    const close = (value) => {
      resolve(value);
      node.close();
    };
    const node = h("dialog", { "aria-label": title, onclose: () => (resolve(null), node.remove()) },
      h("div", { class: "head" }, h("h2", {}, title), iconButton("close", texts.dialog.close, () => node.close())),
      build(close));
    document.body.append(node);
    node.showModal();
  });
}

/** Ask for confirmation; resolves with whether to do it. */
export const confirmed = (title, sentence, action) =>
  openDialog(title, (close) => h("form", { method: "dialog", onsubmit: () => close(true) },
    h("p", {}, sentence),
    h("div", { class: "row end" },
      h("button", { type: "button", autofocus: true, onclick: () => close(false) }, texts.dialog.cancel),
      h("button", { class: "danger" }, action))));

/** Call `act` now and again every `ms` while the page is shown, never twice at once; returns a stop function. */
export function every(ms, act) {
  let timer, stopped = false;
  const turn = async () => {
    if (!document.hidden) await act();
    if (!stopped) timer = setTimeout(turn, ms);
  };
  turn();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

export const percent = (share) => `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`;
export const bytes = (count) => {
  const step = count > 0 ? Math.min(4, Math.floor(Math.log2(count) / 10)) : 0;
  return `${(count / 1024 ** step).toFixed(step ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][step]}`;
};
export const clock = (seconds) => {
  const whole = Math.max(0, Math.round(seconds)), two = (part) => String(part).padStart(2, "0");
  const head = whole >= 3600 ? `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}` : Math.floor(whole / 60);
  return `${head}:${two(whole % 60)}`;
};

/** Colours of a class for style.setProperty("--colour", ...). */
export const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;
