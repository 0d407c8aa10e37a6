// The sources that can be shown live: an invitation while none runs, and a switch while one runs.

import { call } from "./api.js";
import { cameras } from "./capture.js";
import { texts } from "./texts.js";
import { h, icon } from "./ui.js";

const ICONS = { camera: "live", demo: "play", file: "videos" };
const words = texts.live.sources;

/** Three choices and the server's streams: `begin(kind, detail)` is called with the chosen one. */
export function invitation(begin) {
  const streams = h("p", { class: "row small", hidden: true });
  const choices = Object.keys(ICONS).map((kind) =>
    h("button", { type: "button", class: "choice", onclick: () => pick(kind, begin) }, icon(ICONS[kind]), h("strong", {}, words[kind]), h("span", { class: "small soft" }, texts.live.invite[kind])));
  const node = h("div", { class: "invitation" }, h("h2", {}, texts.live.invite.title), h("p", { class: "soft" }, texts.live.invite.text), h("div", { class: "choices" }, choices), streams);
  const refresh = async () => {
    const names = await streamNames();
    streams.replaceChildren(texts.live.invite.streams, ...names.map((name) => h("a", { class: "button", href: `#/live/${name}` }, name)));
    streams.hidden = !names.length;
  };
  return { node, refresh };
}

/** A select of all sources; `mark(kind, detail)` shows which one runs, `refresh()` fetches them again. */
export function sources(begin) {
  const node = h("select", { "aria-label": words.label, onchange });
  let running = "";

  function onchange() {
    const [kind, ...detail] = node.value.split(":");
    node.value = running;
    pick(kind, begin, detail.join(":"));
  }

  async function refresh() {
    const [devices, names] = await Promise.all([cameras(), streamNames()]);
    const found = devices.map(({ deviceId, label }, i) => option(`camera:${deviceId}`, label || words.numbered(i + 1)));
    const local = [...(found.length ? found : [option("camera:", words.camera)]), option("file:", words.file), option("demo:", words.demo)];
    node.replaceChildren(h("optgroup", { label: words.here }, local));
    if (names.length) node.append(h("optgroup", { label: words.there }, names.map((name) => option(`stream:${name}`, name))));
    if (running === "camera:" && found.length) running = found[0].value;
    node.value = running;
  }

  function mark(kind, detail = "") {
    running = kind === "file" ? "file:" : `${kind}:${detail}`;
    refresh();
  }
  return { node, mark, refresh };
}

const option = (value, text) => h("option", { value }, text);

const streamNames = async () => {
  const { streams } = await call("GET", "v1/streams").catch(() => ({ streams: [] }));
  return streams.map(({ name }) => name);
};

function pick(kind, begin, detail) {
  if (kind !== "file") return begin(kind, detail);
  const input = h("input", { type: "file", accept: "video/*", onchange: () => input.files[0] && begin(kind, input.files[0]) });
  input.click();
}
