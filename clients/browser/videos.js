// The view "videos": files are dropped, uploaded one after the other, and followed until they are segmented.

import { call, connection, events } from "./api.js";
import { add, onchange, remove, retry, uploaded, uploads } from "./queue.js";
import { texts } from "./texts.js";
import { confirmed, emptiness, h, icon, problem, toast } from "./ui.js";
import { card, ofUpload, ofVideo } from "./video-card.js";
import { showVideo } from "./video.js";

const FOLLOWED = 2; // browsers hold six connections to a server
const words = texts.videos;

export const show = (root, id) => (id ? showVideo(root, id) : list(root));

function list(root) {
  const videos = new Map(), cards = new Map(), followed = new Map();
  const input = h("input", { type: "file", multiple: true, accept: "video/*", hidden: true, onchange: () => (add(input.files), (input.value = "")) });
  const choose = (label) => h("button", { type: "button", class: "primary", onclick: () => input.click() }, icon("add"), label);
  const items = h("ul", { class: "cards" }), trouble = h("div", { class: "note" }), add_ = choose(words.add);
  const more = h("button", { type: "button", hidden: true, onclick: () => load(more.value) }, words.more);
  const empty = h("section", { hidden: true }, emptiness(words.empty.title, words.empty.text,
    h("div", { class: "row" }, choose(words.choose), h("button", { type: "button", onclick: demonstrate }, words.demo))));
  const target = h("div", { class: "drop", hidden: true, "aria-hidden": "true" }, icon("add"), words.drop);
  let isLoaded = false, isLeft = false;

  async function load(cursor) {
    try {
      const page = await call("GET", `v1/videos?limit=24${cursor ? `&cursor=${cursor}` : ""}`);
      if (!cursor) videos.clear();
      for (const video of page.videos) videos.set(video.id, video);
      Object.assign(more, { value: page.next ?? "", hidden: !page.next });
      isLoaded = true;
      trouble.replaceChildren();
    } catch (error) {
      trouble.replaceChildren(problem(error, () => load()));
    }
    draw();
  }

  function draw() {
    if (isLeft) return;
    const newest = [...videos.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
    const views = [...uploads.map((one) => [ofUpload(one), one]),
      ...newest.map((one) => [ofVideo(one, uploaded.get(one.id)?.picture), one])];
    for (const [view, one] of views) {
      if (!cards.has(view.id)) cards.set(view.id, card(() => act(view.id), () => retry(one)));
      cards.get(view.id).update(view);
    }
    place(items, views.map(([{ id }]) => cards.get(id).node));
    empty.hidden = views.length > 0 || !isLoaded;
    add_.hidden = !views.length;
    followSome(newest);
  }

  // The oldest are segmented first.
  function followSome(newest) {
    const active = newest.filter(({ state }) => state === "running" || state === "queued").reverse().slice(0, FOLLOWED);
    for (const [id, stop] of followed) if (!active.some((one) => one.id === id)) stop(), followed.delete(id);
    for (const { id, links } of active) if (!followed.has(id)) followed.set(id, events(links.events, { message: took }));
  }

  function took(video) {
    videos.set(video.id, video);
    draw();
  }

  async function act(id) {
    const entry = uploads.find((one) => one.id === id);
    if (entry) return remove(entry);
    const { name, state, links } = videos.get(id);
    if (state === "succeeded" && !(await confirmed(words.removing(name), words.removal, words.remove))) return;
    await call("DELETE", links.self).catch((error) => toast(error.message));
    load();
  }

  async function demonstrate({ target: button }) {
    button.disabled = true;
    const { demoFile } = await import("./demo.js");
    await demoFile().then((file) => add([file]), (error) => toast(error.message));
    button.disabled = false;
  }

  const stopDropping = receiveFiles(target);
  const stayFresh = () => document.hidden || load();
  document.addEventListener("visibilitychange", stayFresh);
  connection.addEventListener("back", stayFresh);
  onchange((video) => (video ? took(video) : draw()));
  root.append(h("div", { class: "head" }, h("h1", {}, words.title), add_), input, trouble, empty, items, more, target);
  load();
  return () => {
    isLeft = true;
    onchange(() => {});
    stopDropping();
    document.removeEventListener("visibilitychange", stayFresh);
    connection.removeEventListener("back", stayFresh);
    for (const stop of followed.values()) stop();
  };
}

/** Take the files that are dropped anywhere or pasted; `target` is shown while files are dragged. Returns a function that stops. */
function receiveFiles(target) {
  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
  const on = {
    dragover: (event) => isFiles(event) && (event.preventDefault(), (target.hidden = false)),
    dragleave: (event) => event.relatedTarget || (target.hidden = true),
    drop: (event) => isFiles(event) && (event.preventDefault(), (target.hidden = true), add(event.dataTransfer.files)),
    paste: (event) => event.clipboardData?.files.length && add(event.clipboardData.files),
  };
  for (const [name, take] of Object.entries(on)) addEventListener(name, take);
  return () => Object.entries(on).forEach(([name, take]) => removeEventListener(name, take));
}

/** Make `nodes` the children of a list, moving only those in other places, so that the focus is kept. */
function place(items, nodes) {
  for (const child of [...items.children]) if (!nodes.includes(child)) child.remove();
  nodes.forEach((node, index) => items.children[index] === node || items.insertBefore(node, items.children[index] ?? null));
}
