// Hands on the testbed: what is chosen on the map, what is in force, and a form for any fault of the catalogue.
// Everything goes through the same door as `inject` and `heal`, and is checked and recorded there.

import { byId, carried, el, faultsOn, isDown, percent, rateOf } from "./draw.js";
import { mark_chosen } from "./map.js";

const FOR = "30 s";
const QUICK = { link: ["link_down", "Cut"], node: ["node_crash", "Crash"], ingress: ["load_spike", "Load ×"] };
let chosen = null;
let ended = false;
const mayShake = (state) => state.ground.hands && !ended;

export function build(state) {
  byId("form").replaceChildren(...(mayShake(state) ? [form(state)] : [el("p", { class: "n" }, why(state))]));
  byId("chosen").replaceChildren();
  faults(state);
  show(state);
}

function why(state) {
  return state.ground.hands ? "The run has ended." : "Read-only: nothing can be injected or healed from here.";
}

export function over() {
  ended = true;
  for (const b of document.querySelectorAll("#shake button")) b.disabled = true;
}

// -- what is chosen

const roleOf = (g, name) => (g.links[name] ? "link" : name in g.nodes ? "node" : g.gateways.includes(name) ? "ingress" : "site");

export function choose(state, name) {
  chosen = name;
  mark_chosen(name);
  const role = roleOf(state.ground, name);
  const parts = [el("span", { id: "facts" })];
  if (mayShake(state) && QUICK[role]) {
    const [kind, verb] = QUICK[role];
    const factor = kind === "load_spike" ? state.ground.kinds[kind].fields.find((f) => f.name === "factor")?.default : "";
    const send = () => ask({ do: "inject", kind, target: name, for: FOR, with: [], name: null, overlap: false });
    parts.push(el("button", { id: "quick", class: "hard", onclick: send }, `${verb}${factor ?? ""} ${name} for ${FOR}`));
  }
  byId("chosen").replaceChildren(el("div", { class: "row" }, ...parts));
  const target = byId("target");
  if (target && state.ground.kinds[byId("kind").value].targets.includes(role)) target.value = name;
  show(state);
}

export function show(state) {
  const [facts, quick] = [byId("facts"), byId("quick")];
  if (quick) quick.hidden = isDown(state, chosen);
  if (facts) facts.textContent = factsOf(state, chosen);
  for (const span of document.querySelectorAll("[data-ends]")) {
    const left = Number(span.dataset.ends) - (state.status.t ?? 0);
    span.textContent = left > 0 ? `, ${left.toFixed(0)} s left` : "";
  }
}

function factsOf(state, name) {
  const g = state.ground;
  const down = isDown(state, name) ? ", down" : "";
  const shaken = faultsOn(state, name).map((f) => f.name).join(", ");
  const more = shaken ? `; in force: ${shaken}` : "";
  if (g.links[name]) return `${name}: ${rateOf(carried(state, name), g.links[name][3])}${down}${more}`;
  if (name in g.nodes) return `${name}: ${percent(state.status.load?.[name] ?? 0, 0)} of ${g.nodes[name]} cores${down}${more}`;
  return `${name}: at ${g.at[name] ?? name}${down}${more}`;
}

// -- what is in force

export function faults(state) {
  const names = [...new Set(state.faults.in_force.map((f) => f.name))];
  const rows = names.map((name) => {
    const all = state.faults.in_force.filter((f) => f.name === name);
    const [f] = all;
    const words = `${name}: ${f.kind} on ${all.map((x) => x.target).join(", ")}${all.every((x) => x.verified) ? ", read back" : ""}`;
    const left = el("span", { class: "left" });
    if (f.ends_s !== null) left.dataset.ends = f.ends_s;
    const text = el("span", { title: f.evidence }, words, left);
    return el("div", { class: "row" }, text, mayShake(state) ? healer(name, `Heal ${name}`) : null);
  });
  if (rows.length > 1 && mayShake(state)) rows.push(healer(null, "Heal all"));
  byId("faults").replaceChildren(...(rows.length ? rows : [el("p", { class: "n" }, "No fault is in force.")]));
  show(state);
}

const healer = (name, words) => el("button", { "data-heal": name ?? "", onclick: () => ask({ do: "heal", name }) }, words);

// -- any fault

function form(state) {
  const g = state.ground;
  const kinds = Object.keys(g.kinds).map((k) => el("option", { value: k, selected: k === "link_down" }, k));
  const own = el("form", { onsubmit: (e) => (e.preventDefault(), ask(request(own))) });
  const fields = el("div", { id: "fields" });
  const about = el("p", { class: "n", id: "about" });
  const list = el("datalist", { id: "targets" });
  const kind = el("select", { id: "kind", name: "kind", onchange: () => shape(g, kind.value, list, fields, about) }, ...kinds);
  own.append(
    el("label", {}, "fault", kind),
    el("label", {}, "target", el("input", { id: "target", name: "target", list: "targets", required: true, autocomplete: "off" })),
    el("label", {}, "for, nominal time", el("input", { name: "for", value: FOR, required: true, autocomplete: "off" })),
    el("label", {}, "name (optional)", el("input", { name: "name", autocomplete: "off" })),
    fields, list,
    el("label", {}, el("input", { type: "checkbox", name: "overlap" }), " also over another fault"),
    el("button", { class: "hard" }, "Inject"),
    about,
  );
  shape(g, kind.value, list, fields, about);
  return own;
}

function shape(g, kind, list, fields, about) {
  const { targets, fields: wanted, about: words, fields_about: more } = g.kinds[kind];
  const names = targets.flatMap((role) => g.targets[role] ?? []);
  list.replaceChildren(...names.slice(0, 500).map((n) => el("option", { value: n })));
  about.textContent = [words, wanted.length ? more : ""].join(" ");
  fields.replaceChildren(
    ...wanted.map(({ name, default: usual }) =>
      el("label", {}, name, el("input", { "data-field": name, placeholder: usual ?? "", required: usual === null, autocomplete: "off" }))),
  );
  fields.hidden = !wanted.length;
  const target = byId("target");
  if (target && target.value && !names.includes(target.value)) target.value = "";
}

function request(own) {
  const given = [...own.querySelectorAll("[data-field]")].filter((f) => f.value);
  const { kind, target, name, overlap } = own.elements;
  return {
    do: "inject", kind: kind.value, target: target.value.trim(), for: own.elements.for.value,
    with: given.map((f) => `${f.dataset.field}=${f.value}`), name: name.value || null, overlap: overlap.checked,
  };
}

async function ask(what) {
  const said = byId("answer");
  said.className = "";
  said.textContent = "…";
  let answer;
  try {
    const response = await fetch("do", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(what),
    });
    answer = await response.json();
  } catch {
    answer = { ok: false, error: "The testbed does not answer." };
  }
  said.className = answer.ok ? "good" : "bad";
  said.textContent = answer.ok ? told(answer.answer) : answer.error;
}

function told({ faults: made, healed }) {
  const one = (f) => `${f.name}: ${f.kind} on ${f.target}, ${f.state.replace("_", " ")}${f.verified ? ", verified" : ""}`;
  const all = (made ?? healed ?? []).map(one);
  return all.length ? all.join("\n") : "No fault is in force.";
}
