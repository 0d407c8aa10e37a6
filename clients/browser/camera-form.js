// The dialog that adds a camera: its address is tested first, and its first picture is shown.

import { call } from "./api.js";
import { texts } from "./texts.js";
import { field, h, openDialog, problem } from "./ui.js";

const words = texts.camera;
const NAME = "[a-z0-9][a-z0-9\\-]{0,63}";

/** Ask for a camera and add it; resolves with its name, or null. `sources` is the answer of /v1/sources. */
export const addCamera = (sources) => openDialog(words.title, (close) => form(sources, close));

function form(sources, close) {
  const url = h("input", { type: "text", inputmode: "url", required: true, autofocus: true, maxlength: "2048", ...plain });
  const name = h("input", { type: "text", required: true, pattern: NAME, title: words.nameHint, ...plain });
  const more = options(), result = h("div", { class: "trial", role: "status" }, words.preview);
  const send = h("button", { class: "primary" }, words.test);
  let tested = null, named = false;

  function changed() {
    if (!named) name.value = suggestion(url.value);
    tested = null;
    send.textContent = words.test;
  }

  async function test() {
    result.replaceChildren(words.trying, h("progress", { "aria-label": words.trying }));
    const found = await call("POST", "/v1/sources/test", { url: url.value });
    result.replaceChildren(h("img", { src: found.picture, alt: "" }),
      h("p", {}, words.works(found.width, found.height, found.seconds)));
    tested = url.value;
    send.textContent = words.add;
  }

  async function save() {
    const loop = url.value.startsWith("file:");
    const added = await call("POST", "/v1/streams", { name: name.value, url: url.value, loop, ...more.values() });
    close(added.name);
  }

  async function attempt(act) {
    send.disabled = true;
    try {
      await act();
    } catch (error) {
      const anyway = act === test && h("button", { type: "button", onclick: () => attempt(save) }, words.anyway);
      result.replaceChildren(problem(error), anyway || "");
    }
    send.disabled = false;
  }

  url.addEventListener("input", changed);
  name.addEventListener("input", () => (named = name.value !== ""));
  const submit = (event) => {
    event.preventDefault();
    attempt(tested === url.value ? save : test);
  };
  return h("form", { onsubmit: submit },
    field(words.url, url, words.urlHint(sources.schemes)),
    sources.files?.length > 0 && field(words.file, files(sources.files, url, changed)),
    field(words.name, name, words.nameHint), more.node, result, h("div", { class: "row end" }, send));
}

const plain = { autocomplete: "off", autocapitalize: "off", spellcheck: "false" };

function files(found, url, changed) {
  const choose = (event) => {
    url.value = event.target.value;
    changed();
  };
  const shown = (file) => decodeURIComponent(file.replace("file:///", ""));
  return h("select", { onchange: choose }, h("option", { value: "" }, words.noFile),
    found.map((file) => h("option", { value: file }, shown(file))));
}

function options() {
  const number = (max) => h("input", { type: "number", min: "0.1", max, step: "any", inputmode: "decimal" });
  const policy = h("select", {}, h("option", { value: "latest" }, words.latest), h("option", { value: "every" }, words.every));
  const inputs = { policy, max_fps: number("1000"), budget_ms: number("1000000000"), publish: h("input", { type: "text", ...plain }) };
  const labels = { policy: words.policy, max_fps: words.fps, budget_ms: words.budget, publish: words.publish };
  const read = ({ type, value }) => (type === "number" ? Number(value) : value);
  return {
    node: h("details", {}, h("summary", {}, words.more),
      Object.entries(inputs).map(([key, input]) => field(labels[key], input))),
    values: () => Object.fromEntries(
      Object.entries(inputs).filter(([, input]) => input.value).map(([key, input]) => [key, read(input)])),
  };
}

// A name for an address: rtsp://user:secret@10.0.0.7/front becomes 10-0-0-7-front.
function suggestion(url) {
  const place = url.replace(/^\w*:\/*/, "").replace(/^[^/]*@/, "").replace(/[?#].*/, "").replace(/\.\w{2,4}$/, "");
  return place.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 64);
}
