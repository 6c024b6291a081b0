// The page: hears the run's stream, keeps what it said, and lets every part show it.

import { byId, el, percent } from "./draw.js";
import * as chart from "./chart.js";
import * as hands from "./hands.js";
import * as map from "./map.js";
import * as tables from "./tables.js";

const MOST_EVENTS = 300;
const MOST_POINTS = 3000;
const state = { ground: null, status: {}, points: [], events: [], faults: { in_force: [], bands: [] }, last: null };
const choose = (name) => hands.choose(state, name);

const heard = {
  everything(all) {
    Object.assign(state, all);
    const g = state.ground;
    document.title = `${g.scenario}, live`;
    byId("name").textContent = `${g.scenario}, live`;
    byId("question").textContent =
      `${g.question} · run ${g.run}, policy ${g.policy}, seed ${g.seed}` + (g.dilate === 1 ? "" : `, ${g.dilate}× slower`);
    notice(state.status.t === undefined ? "Building the testbed …" : "");
    map.build(state, choose);
    hands.build(state);
    if (state.last !== null) heard.last(state.last);
    showAll();
  },
  status(status) {
    notice("");
    state.status = status;
    state.points.push([status.t, status.rate_5s, status.rate]);
    if (state.points.length > MOST_POINTS) state.points = state.points.filter((_, i) => i % 2);
    showAll();
  },
  events(events) {
    state.events = state.events.concat(events).slice(-MOST_EVENTS);
    tables.events(state);
  },
  faults(faults) {
    state.faults = faults;
    hands.faults(state);
    map.show(state);
    chart.show(state);
  },
  last(words) {
    state.last = words;
    notice(words || "The run has ended.");
    hands.over();
    stream.close();
  },
};

const stream = new EventSource("stream");
for (const [name, take] of Object.entries(heard)) stream.addEventListener(name, (e) => take(JSON.parse(e.data)));
stream.addEventListener("error", () => {
  if (state.last === null) notice("The testbed does not answer: it has ended, or the way to it is cut. Trying again …");
});

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

function showAll() {
  cards();
  map.show(state);
  chart.show(state);
  tables.show(state);
  hands.show(state);
  if (!byId("events").childElementCount) tables.events(state);
}

function cards() {
  const s = state.status;
  const waiting = (s.instances ?? []).reduce((sum, i) => sum + i.backlog, 0);
  const facts = [
    [`of ${state.ground.horizon_s.toFixed(0)} s nominal`, s.t === undefined ? "–" : `${s.t.toFixed(0)} s`],
    ["on time, last 5 s", percent(s.rate_5s)],
    ["on time, whole run", percent(s.rate)],
    ["tasks offered", `${s.offered ?? 0}`],
    ["requests present", `${waiting}`],
    ["moves, starts", `${s.moves ?? 0}, ${s.starts ?? 0}`],
    ["faults in force", `${new Set(state.faults.in_force.map((f) => f.name)).size}`],
  ];
  byId("cards").replaceChildren(...facts.map(([what, value]) => el("div", {}, el("b", {}, value), el("span", {}, what))));
}

byId("reasons").addEventListener("change", () => tables.events(state));
let due = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(due);
  due = requestAnimationFrame(() => state.ground && (map.build(state, choose), showAll()));
});
