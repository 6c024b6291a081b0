// Making elements, and numbers with their units. What others wrote becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

export function el(tag, attributes = {}, ...children) {
  return made(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return made(document.createElementNS(SVG, tag), attributes, children);
}

function made(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((c) => c !== null));
  return element;
}

export const byId = (id) => document.getElementById(id);

export const percent = (x, digits = 1) => (x === null || x === undefined ? "–" : `${(100 * x).toFixed(digits)} %`);

const UNITS = [[1e9, "Gbit/s"], [1e6, "Mbit/s"], [1e3, "kbit/s"], [0, "bit/s"]];

function unitOf(bps) {
  return UNITS.find(([size]) => bps >= size);
}

const number = (x) => (x >= 100 || x === 0 ? x.toFixed(0) : x.toFixed(1));

// "12.3 of 400 Mbit/s": both in the unit of the second
export function rateOf(bps, most) {
  const [size, name] = unitOf(most);
  return `${number(bps / (size || 1))} of ${number(most / (size || 1))} ${name}`;
}

// The colour class of a share of use, as in the report (testbed/report/sections/network_map.py).
export function heat(share) {
  return [0.05, 0.25, 0.5, 0.8].filter((c) => share >= c).length;
}

// The busier direction of a link, bit/s.
export function carried(state, name) {
  const [a, b] = state.ground.links[name];
  const flows = state.status.carried_bps ?? {};
  return Math.max(flows[`${a}->${b}`] ?? 0, flows[`${b}->${a}`] ?? 0);
}

// Faults in force that act on this part: itself, or one of its directions.
export function faultsOn(state, name) {
  const ways = state.ground.links[name] ? waysOf(state.ground.links[name]) : [];
  return state.faults.in_force.filter((f) => f.target === name || ways.includes(f.target));
}

const waysOf = ([a, b]) => [`${a}->${b}`, `${b}->${a}`];

export function isDown(state, name) {
  if (state.ground.links[name]) {
    const now = state.status.links?.[name];
    return (now && !now[2]) || faultsOn(state, name).some((f) => f.verb === "link_state");
  }
  return (state.status.dead ?? []).includes(name) || faultsOn(state, name).some((f) => f.verb === "node_state");
}
