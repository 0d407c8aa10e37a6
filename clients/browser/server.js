// The view "server": the model, its engines, how much of the server is used, and links for programs.

import { address, call } from "./api.js";
import { texts } from "./texts.js";
import { bytes, clock, css, every, h, icon, problem } from "./ui.js";

const POLL = 2000; // ms
const words = texts.server;

/** Show the server until the returned function is called. */
export function show(root) {
  const chip = h("span", { class: "chip" }), version = h("p", { class: "soft small number" });
  const notice = h("div"), session = h("div"), model = h("section", { class: "card" }), engines = h("section", { class: "card" });
  const use = usage();
  const cards = h("div", { class: "server", hidden: true },
    h("div", { class: "stack" }, model, links()), h("div", { class: "stack" }, use.node, engines));
  root.append(
    h("div", { class: "head" }, h("h1", {}, words.title), h("div", { class: "row" }, version, chip, session)), notice,
    cards);

  async function look() {
    try {
      const server = await call("GET", "/v1/server");
      ready(server);
      use.update(server);
      const [served] = (await call("GET", "/v1/models")).models;
      renew(model, served.spec, () => card(served));
      renew(engines, [served.engines, served.plan], () => engineCard(served));
      cards.hidden = false;
      notice.replaceChildren(server.ready ? "" : problem(new Error(words.reasons(server.reasons))));
    } catch (error) {
      notice.replaceChildren(error.code === "no_capacity" ? h("p", { class: "soft" }, words.starting) : problem(error));
    }
  }

  function ready(server) {
    chip.className = `chip ${server.ready ? "good" : "warn"}`;
    chip.textContent = server.ready ? words.ready : words.notReady;
    version.textContent = words.running(server.version, clock(server.uptime));
  }

  call("GET", "/v1/session").then(({ access }) => access === "keys" && session.append(signOut()), () => {});
  return every(POLL, look);
}

const signOut = () =>
  h("button", { type: "button", onclick: () => call("DELETE", "/v1/session").then(() => location.reload()) }, words.signOut);

// Draw a card again only if its content has changed, so that a selection in it stays.
function renew(node, facts, draw) {
  const is = JSON.stringify(facts);
  if (node.is !== is) node.replaceChildren(...draw());
  node.is = is;
}

function card({ spec, memory_bytes: memory }) {
  return [
    h("h2", {}, words.model), h("p", { class: "big" }, spec.name),
    facts(words.facts, {
      licence: spec.licence,
      network: `${spec.backbone}, ${spec.head}`,
      size: words.size(spec.width, spec.height),
      precision: spec.precision,
      trained: spec.dataset,
      memory: memory ? bytes(memory) : null,
      horizon: words.frames(spec.memory_horizon),
    }),
    h("h3", {}, words.classes(spec.classes.length)),
    h("ul", { class: "classes" }, spec.classes.map((one) => h("li", {}, swatch(one.colour), one.name))),
  ];
}

function swatch(colour) {
  const node = h("span", { class: "swatch" });
  node.style.setProperty("--colour", css(colour));
  return node;
}

const engineCard = ({ engines, plan }) => [
  h("h2", {}, words.engine),
  engines.map((one) => facts(words.engines, {
    provider: one.provider, device: one.device, precision: one.precision, batch: String(one.max_batch),
  })),
  passedOver(engines.flatMap((one) => one.passed_over)),
  h("h3", {}, words.plan), h("p", {}, `${words.stages[plan.stage]}${plan.detail ? `: ${plan.detail}` : ""}`),
  plan.stage === "building" && h("progress", { max: 100, value: plan.percent, "aria-label": words.plan }),
].flat().filter(Boolean);

const passedOver = (reasons) => reasons.length > 0 && [
  h("h3", {}, words.passedOver),
  h("ul", { class: "reasons" }, [...new Set(reasons)].map((reason) => h("li", {}, reason))),
];

const facts = (labels, values) =>
  h("dl", { class: "facts" }, Object.entries(values).filter(([, value]) => value && value !== "none")
    .map(([key, value]) => [h("dt", {}, labels[key]), h("dd", {}, value)]));

// Masks per second since the last update, and a bar for each limited resource.
function usage() {
  const rate = h("span", { class: "big number" }, "–");
  const bars = Object.entries(words.uses).map(([key, label]) => {
    const bar = h("progress", { max: 1, value: 0, "aria-label": label }), number = h("span", { class: "number" });
    return { key, bar, number, node: h("div", { class: "use" }, h("span", {}, label), number, bar) };
  });
  let before = null;

  function update(server) {
    const now = performance.now();
    if (before && server.masks >= before.masks)
      rate.textContent = (((server.masks - before.masks) * 1000) / (now - before.at)).toFixed(1);
    before = { masks: server.masks, at: now };
    for (const { key, bar, number } of bars) {
      const { used, most } = server[key], show = key === "held_bytes" ? bytes : String;
      bar.value = used / most;
      number.textContent = words.of(show(used), show(most));
    }
  }

  return { update, node: h("section", { class: "card" }, h("h2", {}, words.use),
    h("p", { class: "row" }, rate, h("span", { class: "soft" }, words.rate)), bars.map((one) => one.node)) };
}

const links = () =>
  h("section", { class: "card last" }, h("h2", {}, words.links),
    h("ul", { class: "links" }, Object.entries({ docs: "docs", schema: "openapi.json", metrics: "metrics", health: "health/ready" })
      .map(([key, path]) => h("li", {}, h("a", { href: address(path), target: "_blank" }, words[key], icon("link"))))));
