// The view "videos".

import { texts } from "./texts.js";
import { h } from "./ui.js";

export function show(root) {
  root.append(h("div", { class: "head" }, h("h1", {}, texts.videos.title)));
}
