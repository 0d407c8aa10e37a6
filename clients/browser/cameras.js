// The view "cameras": every pulled stream with its picture, its state and its buttons.

import { call, connection } from "./api.js";
import { cameraCell, foreignCell } from "./camera-cell.js";
import { addCamera } from "./camera-form.js";
import { texts } from "./texts.js";
import { emptiness, every, h, icon, problem, segmented, toast } from "./ui.js";

const POLL = 2000; // ms between two looks at the streams
const MOVING = 4; // pictures that move: a browser opens six connections to a server and no more
const words = texts.cameras;

let overlay = true;

/** Show the streams until the returned function is called. */
export function show(root) {
  const notice = h("div"), cells = new Map();
  const grid = h("div", { class: "cards cameras" }), others = h("div", { class: "cards cameras", hidden: true });
  let allowed, left = false;

  async function look() {
    try {
      if (allowed === undefined) allowed = await permissions();
      const { streams, elsewhere } = await call("GET", "/v1/streams");
      if (left) return;
      draw(streams);
      drawOthers(elsewhere);
      empty.hidden = streams.length + elsewhere.length > 0;
      tools.hidden = !empty.hidden;
      notice.replaceChildren();
    } catch (error) {
      notice.replaceChildren(problem(error));
    }
  }

  function draw(streams) {
    for (const name of cells.keys()) if (!streams.some((stream) => stream.name === name)) remove(name);
    const how = { moves: streams.length <= MOVING, overlay, changes: allowed !== null, records: allowed?.records };
    for (const stream of streams) (cells.get(stream.name) ?? add(stream.name)).update(stream, how);
    if (!tools.hasChildNodes()) tools.append(pictures, ...(allowed ? [addition()] : []));
    if (!empty.hasChildNodes()) empty.append(nothing());
  }

  function drawOthers(elsewhere) {
    const now = JSON.stringify(elsewhere);
    if (others.dataset.shown === now) return; // a link that has the focus must stay
    others.dataset.shown = now;
    others.replaceChildren(...elsewhere.map(foreignCell));
    others.hidden = !elsewhere.length;
  }

  function add(name) {
    const cell = cameraCell(name, change);
    cells.set(name, cell);
    grid.append(cell.node);
    return cell;
  }

  function remove(name) {
    cells.get(name).stop();
    cells.get(name).node.remove();
    cells.delete(name);
  }

  const change = (...request) => call(...request).then(look, (error) => toast(error.message));
  const ask = async () => (await addCamera(allowed)) && look();
  const rest = () => cells.forEach((cell) => cell.stop());
  const hide = () => (document.hidden ? rest() : look());
  const again = () => (rest(), look()); // pictures that were cut off do not come back by themselves
  const addition = () => h("button", { type: "button", class: "primary", onclick: ask }, icon("add"), words.add);
  const demonstrate = (url) => change("POST", "/v1/streams", { name: "demonstration", url, loop: true });
  const nothing = () => allowed
    ? emptiness(words.empty, words.why, addition(), demonstration(allowed.files, demonstrate))
    : emptiness(words.empty, words.noRight);
  const empty = h("div", { hidden: true }), tools = h("div", { class: "row", hidden: true });

  const pictures = segmented(words.shown, [["masks", true], ["picture", false]], overlay, (chosen) => {
    overlay = chosen;
    look();
  });
  root.append(h("div", { class: "head" }, h("h1", {}, words.title), tools), notice, grid, others, empty);
  document.addEventListener("visibilitychange", hide);
  connection.addEventListener("back", again);
  const stop = every(POLL, look);
  return () => {
    left = true;
    stop();
    document.removeEventListener("visibilitychange", hide);
    connection.removeEventListener("back", again);
    rest();
  };
}

// What the page's key allows: only viewing, or everything that the server offers.
async function permissions() {
  if ((await call("GET", "/v1/session")).role === "watch") return null;
  const [sources, { records }] = await Promise.all([call("GET", "/v1/sources"), call("GET", "/v1/server")]);
  return { ...sources, records };
}

// Suggestions without a camera: a video of the server, or this device's camera.
const demonstration = (files, play) =>
  files?.length
    ? h("button", { type: "button", onclick: () => play(files[0]) }, icon("play"), words.demo)
    : h("a", { href: "#/live" }, words.noDemo);
