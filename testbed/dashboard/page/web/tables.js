// Instances on nodes, trunks, events.

import { byId, carried, el, faultsOn, isDown, percent, rateOf } from "./draw.js";

const SIGNS = { fault: "✕", good: "✓", path: "↷", move: "→", reason: "·", note: "·" };
const STATES = { ready: "", starting: "↑", draining: "↓" };

export function show(state) {
  nodes(state);
  trunks(state);
}

const row = (cell, ...cells) => el("tr", {}, ...cells.map((c) => (c instanceof Element && c.matches("td,th") ? c : el(cell, {}, c))));

const meter = (share, words) => el("meter", { min: 0, max: 1, value: Math.min(share, 1), title: words }, words);

function nodes(state) {
  const g = state.ground;
  const rows = Object.keys(g.nodes).map((v) => {
    const here = (state.status.instances ?? []).filter((i) => i.node === v);
    const load = state.status.load?.[v] ?? 0;
    const chips = here.map((i) => {
      const words = `${i.id}: ${i.workers} workers, ${i.state}, ${i.backlog} requests`;
      return el("span", { class: "chip", title: words }, `${i.service} ×${i.workers}${STATES[i.state] ?? ""}`);
    });
    const down = isDown(state, v) ? el("span", { class: "bad" }, "down ") : null;
    const queue = here.reduce((sum, i) => sum + i.backlog, 0);
    const loaded = el("td", {}, meter(load, percent(load, 0)), ` ${percent(load, 0)}`);
    return row("td", v, loaded, el("td", { class: "r" }, `${queue}`), el("td", { class: "wrap" }, down, ...chips));
  });
  const head = row("th", "node", "cores held", el("th", { class: "r" }, "requests"), "instances");
  byId("nodes").replaceChildren(head, ...rows);
}

function trunks(state) {
  const rows = Object.entries(state.status.links ?? {}).map(([name, [now, configured]]) => {
    const bps = carried(state, name);
    const down = isDown(state, name);
    const faults = faultsOn(state, name).map((f) => f.name).join(", ");
    const word = down ? el("td", { class: "wrap bad" }, `down ${faults}`) : el("td", { class: "wrap" }, faults || "up");
    return row("td", name, meter(now ? bps / now : 0, rateOf(bps, configured)), rateOf(bps, now || configured), word);
  });
  byId("trunks").replaceChildren(row("th", "trunk", "in use", "carried, of its rate now", "state"), ...rows);
}

export function events(state) {
  const all = byId("reasons").checked;
  const items = state.events
    .filter((e) => all || e.mark !== "reason")
    .slice(-120)
    .reverse()
    .map((e) =>
      el("li", { class: e.mark },
        el("time", {}, e.t === null || e.t === undefined ? "" : `${e.t.toFixed(1)} s`),
        el("b", { "aria-hidden": "true" }, SIGNS[e.mark] ?? "·"),
        el("span", {}, e.text)));
  byId("events").replaceChildren(...items);
}
