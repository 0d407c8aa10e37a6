// One card of the view "videos": a video, or an upload.

import { address } from "./api.js";
import { texts } from "./texts.js";
import { bytes, clock, h, icon, iconButton } from "./ui.js";

const words = texts.videos;
const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
let lists = 0;
const TONES = { succeeded: "good", failed: "bad", running: "warn", uploading: "warn" };

/** Return the content of an upload's card. */
export const ofUpload = ({ id, file, sent, rate, picture, isActive, note, error }) => ({
  id, name: file.name, picture, facts: bytes(file.size),
  state: error ? "refused" : isActive ? "uploading" : "waiting",
  share: error ? null : sent / file.size,
  progress: error?.message ?? note ?? (isActive && rate ? words.sending(bytes(rate), clock((file.size - sent) / rate)) : ""),
  isBad: Boolean(error), action: error ? words.dismiss : words.cancel,
});

/** Return the content of a video's card; `picture` was drawn from its file. */
export function ofVideo(video, picture) {
  const { id, name, state, source, progress, links, error } = video, isOver = !["queued", "running"].includes(state);
  const { frames_done: done, frames_total: total, fps, eta_s: left } = progress;
  const poster = links["poster.jpg"];
  return {
    id, name, state, picture: isOver ? poster ?? picture : picture ?? (poster && `${poster}?so-far`), href: `#/videos/${id}`,
    badge: source.duration === null ? "" : clock(source.duration),
    facts: `${source.display_width} × ${source.display_height} · ${bytes(video.bytes)} · ${DATE.format(new Date(video.created))}`,
    share: isOver ? null : total ? done / total : 0, links: isOver ? links : {},
    progress: error?.detail ?? (state === "running" && fps ? words.rate(fps.toFixed(1), left === null ? null : clock(left)) : ""),
    isBad: Boolean(error), action: isOver ? words.remove : words.cancel,
  };
}

/** Return `{node, update(view)}`; `act()` cancels or removes, and `again()` tries a refused upload again. */
export function card(act, again) {
  const picture = h("img", { alt: "", loading: "lazy", decoding: "async", onerror: () => (picture.hidden = true) });
  const badge = h("span", { class: "tag number" }), name = h("h2", {}), facts = h("p", { class: "small soft" });
  const chip = h("span", { class: "chip" }), bar = h("progress", { max: "1" }), progress = h("p", { class: "small number" });
  const thumb = h("a", { class: "thumb", tabindex: "-1", "aria-hidden": "true" }, icon("videos"), picture, badge);
  const action = iconButton("remove", words.remove, () => act());
  const retry = h("button", { type: "button", class: "small", onclick: () => again() }, words.retry), save = h("div", { class: "save" });
  let saved = "";

  function update(view) {
    const src = view.picture && String(address(view.picture));
    if (!src || src !== picture.src) Object.assign(picture, src ? { src, hidden: false } : { hidden: true });
    if (view.href) thumb.href = view.href;
    if (name.textContent !== view.name) name.replaceChildren(view.href ? h("a", { href: view.href }, view.name) : view.name);
    badge.textContent = view.badge ?? "";
    facts.textContent = view.facts;
    chip.textContent = words.states[view.state];
    chip.className = `chip ${TONES[view.state] ?? (view.isBad ? "bad" : "")}`;
    bar.hidden = view.share === null;
    bar.value = view.share ?? 0;
    bar.setAttribute("aria-label", words.states[view.state]);
    progress.textContent = view.progress;
    progress.hidden = view.share === null && !view.progress;
    progress.classList.toggle("danger", view.isBad);
    retry.hidden = view.state !== "refused";
    action.title = `${view.action}: ${view.name}`;
    action.setAttribute("aria-label", action.title);
    if (saved !== (saved = Object.keys(view.links ?? {}).join())) save.replaceChildren(...downloads(view.links));
  }

  const node = h("li", { class: "card video" }, thumb,
    h("div", { class: "about" }, name, facts, bar, progress,
      h("div", { class: "row" }, chip, h("span", { class: "space" }), retry, save, action)));
  return { node, update };
}

/** Return a button that opens the list of the files that a video has; nothing if it has none. */
export function downloads(links) {
  const names = Object.keys(links).filter((name) => words.files[name]);
  if (!names.length) return [];
  const id = `files-${++lists}`;
  return [
    h("button", { type: "button", class: "quiet small", popovertarget: id }, icon("download"), words.download),
    h("div", { id, popover: "auto", class: "card files" }, h("h2", {}, words.download),
      h("ul", {}, names.map((name) => h("li", {}, h("a", { href: address(links[name]).href, download: "" }, words.files[name], h("span", { class: "small soft" }, name)))))),
  ];
}
