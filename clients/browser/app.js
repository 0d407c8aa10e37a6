// The page's frame: navigation, colours, and one view at a time.

import { connection, request } from "./api.js";
import { texts } from "./texts.js";
import { h, icon, problem, toast } from "./ui.js";

// A view's module exports `show(root, ...path)`, which fills root and may return a function that
// stops everything that it started.
const VIEWS = {
  live: () => import("./live.js"),
  videos: () => import("./videos.js"),
  cameras: () => import("./cameras.js"),
  server: () => import("./server.js"),
};
const THEMES = { auto: "auto", light: "sun", dark: "moon" };

// A server that needs a key gets it before the first view: pictures and sockets could not ask for one.
const admitted = request("/v1/session").catch(() => {});

const view = document.getElementById("view");
let leave = null, turn = 0;

async function go() {
  const [chosen, ...path] = place(), mine = ++turn;
  leave?.();
  leave = null;
  mark(chosen);
  document.title = `${texts.nav[chosen] ?? "?"} · mastream`;
  try {
    if (!VIEWS[chosen]) throw new Error(texts.errors.missing);
    const [{ show }] = await Promise.all([VIEWS[chosen](), admitted]);
    if (mine !== turn) return;
    view.replaceChildren();
    leave = show(view, ...path) ?? null;
  } catch (error) {
    view.replaceChildren(problem(error, VIEWS[chosen] && (() => location.reload())));
  }
}

// The view's name and the rest of the address.
function place() {
  try {
    const [name, ...path] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
    return [name || "live", ...path];
  } catch {
    return ["?"]; // an address with a broken escape
  }
}

function showConnection(lost) {
  document.getElementById("banner").hidden = !lost;
  if (!lost) toast(texts.connection.back);
}

function mark(chosen) {
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.view === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function paintTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  button.replaceChildren(icon(THEMES[theme]));
  button.setAttribute("aria-label", texts.theme[theme]);
  button.title = texts.theme[theme];
}

function chooseTheme() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(theme()) + 1) % names.length];
  localStorage.setItem("theme", next);
  paintTheme(next);
}

const theme = () => (THEMES[localStorage.getItem("theme")] ? localStorage.getItem("theme") : "auto");

document.getElementById("nav").setAttribute("aria-label", texts.nav.label);
document.getElementById("nav").append(
  ...Object.keys(VIEWS).map((name) => h("a", { href: `#/${name}`, "data-view": name }, icon(name), texts.nav[name])));
const skip = document.getElementById("skip");
skip.append(texts.nav.skip);
skip.addEventListener("click", () => view.focus());
document.getElementById("banner").append(texts.connection.lost);
connection.addEventListener("lost", () => showConnection(true));
connection.addEventListener("back", () => showConnection(false));
document.getElementById("theme").addEventListener("click", chooseTheme);
paintTheme(theme());
addEventListener("hashchange", () => go().then(() => view.focus({ preventScroll: true })));
go();
