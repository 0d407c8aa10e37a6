// The view of one video: its progress until it has been segmented, then its player.

import { address, call, events } from "./api.js";
import { player } from "./player.js";
import { uploaded } from "./queue.js";
import { texts } from "./texts.js";
import { h, icon, problem, toast } from "./ui.js";
import { card, downloads, ofVideo } from "./video-card.js";

const words = texts.videos;

export function showVideo(root, id) {
  const back = h("a", { class: "button quiet icon", href: "#/videos", "aria-label": words.back, title: words.back }, icon("back"));
  const title = h("h1", {}, "\u00a0"), tools = h("div", { class: "row" }), body = h("div", { class: "body" });
  let stop = () => {}, isLeft = false;
  root.append(h("div", { class: "head" }, h("div", { class: "row name" }, back, title), tools), body);

  async function begin() {
    try {
      const video = await call("GET", `v1/videos/${encodeURIComponent(id)}`);
      if (isLeft) return;
      title.textContent = video.name;
      if (video.state !== "succeeded") watch(video);
      else await play(video);
    } catch (error) {
      body.replaceChildren(problem(error));
    }
  }

  function watch(video) {
    const { node, update } = card(() => call("DELETE", video.links.self).then(() => (location.hash = "#/videos")).catch((error) => toast(error.message)));
    const growing = h("div", { class: "growing" }), picture = uploaded.get(id)?.picture;
    body.replaceChildren(growing, h("ul", { class: "cards" }, node));
    follow(video);
    if (video.state === "queued" || video.state === "running") stop = stopping(events(video.links.events, { message: follow }));

    function follow(now) {
      const isRunning = now.state === "running", src = now.links["overlay.mp4"] && address(now.links["overlay.mp4"]).href;
      update(ofVideo(now, picture));
      if (isRunning && src && !growing.firstChild) {
        growing.append(h("video", { src, muted: true, controls: true, playsinline: true, poster: picture, "aria-label": words.growing }));
        growing.firstChild.play().catch(() => {}); // autoplay would wait until it could play without a pause
      }
      if (isRunning || now.state === "queued") return;
      stop();
      if (now.state === "succeeded") begin();
    }

    // A video that is only taken from the page would still be loaded.
    function stopping(unfollow) {
      return () => {
        unfollow();
        growing.firstChild?.removeAttribute("src");
        growing.firstChild?.load();
      };
    }
  }

  async function play(video) {
    const { links, source } = video;
    tools.replaceChildren(...downloads(links));
    if (!links["overlay.mp4"] || !links["summary.json"]) return body.replaceChildren(h("p", { class: "empty" }, words.unwatchable));
    const summary = await call("GET", links["summary.json"]);
    if (isLeft) return;
    const file = uploaded.get(id)?.file, local = file && URL.createObjectURL(file);
    const size = { width: source.display_width, height: source.display_height };
    const shown = player(local ?? (links.source && address(links.source).href), address(links["overlay.mp4"]).href, summary, size);
    body.replaceChildren(shown.node);
    stop = () => {
      shown.stop();
      if (local) URL.revokeObjectURL(local);
    };
  }

  begin();
  return () => {
    isLeft = true;
    stop();
  };
}
