// The network: links as wide and as warm as they are used, dots that move with what they carry, nodes by their load.

import { byId, carried, el, faultsOn, heat, isDown, percent, rateOf, svg } from "./draw.js";

const [BESIDE, ABOVE] = [46, 26]; // room for labels around the outermost parts
const WIDEST = 544; // px, as in page.css
const FEW = 24; // parts that all get a label
const LABEL_PX = 13;
const ASIDE = 2.6; // of the dots of each direction
let parts = new Map(); // name → its group and what of it changes

export function build(state, choose) {
  const g = state.ground;
  parts = new Map();
  if (!Object.keys(g.spots).length) {
    byId("map").replaceChildren(el("p", { class: "n" }, "Too many sites and links for a map; see the tables."));
    return;
  }
  const box = byId("map");
  const [left, top, wide, high] = frame(Object.values(g.spots));
  const unit = wide / Math.max(Math.min(box.clientWidth, WIDEST), 200); // view box units in a pixel
  const viewBox = `${left} ${top} ${wide} ${high}`;
  const drawing = svg("svg", { viewBox, role: "group", "aria-label": "map of the network" });
  for (const [name, [a, b]] of Object.entries(g.links)) if (g.spots[a] && g.spots[b]) drawing.append(link(g, name, choose));
  for (const s of g.sites) {
    const [x, y] = g.spots[s];
    drawing.append(svg("rect", { class: "site", x: x - 4, y: y - 4, width: 8, height: 8 }));
  }
  for (const v of Object.keys(g.nodes)) if (g.spots[v]) drawing.append(host(g, v, choose, true));
  for (const o of g.gateways) if (g.spots[o]) drawing.append(host(g, o, choose, false));
  const few = Object.keys(g.spots).length <= FEW;
  for (const name of few ? Object.keys(g.spots) : g.sites.slice(0, 16)) drawing.append(label(g, name, unit));
  box.replaceChildren(drawing);
  byId("map-words").textContent =
    "Colour and width: share in use, from grey (below 5 %) over yellow and orange to violet (above 80 %); of a link in " +
    "its busier direction, of a node its cores. Dashed red and crossed: down. “!”: something else shakes it. Squares: " +
    "sites, dots: nodes (×: instances), triangles: gateways.";
}

function frame(spots) {
  const [xs, ys] = [spots.map(([x]) => x), spots.map(([, y]) => y)];
  const [left, top] = [Math.min(...xs) - BESIDE, Math.min(...ys) - ABOVE];
  return [left, top, Math.max(...xs) + BESIDE - left, Math.max(...ys) + ABOVE - top];
}

function group(name, choose, ...children) {
  const press = (e) => {
    if (e.type === "click" || e.key === "Enter" || e.key === " ") {
      e.preventDefault();
      choose(name);
    }
  };
  const title = svg("title");
  const own = svg(
    "g", { class: "part", tabindex: 0, role: "button", "data-name": name, onclick: press, onkeydown: press },
    title, ...children,
  );
  return [own, title];
}

function link(g, name, choose) {
  const [a, b, role] = g.links[name];
  const [[x1, y1], [x2, y2]] = [g.spots[a], g.spots[b]];
  const long = Math.hypot(x2 - x1, y2 - y1) || 1;
  const [dx, dy] = [(-(y2 - y1) / long) * ASIDE, ((x2 - x1) / long) * ASIDE];
  const line = (more) => svg("line", { x1, y1, x2, y2, ...more });
  const flow = (sign) => {
    const ends = sign > 0 ? [x1, y1, x2, y2] : [x2, y2, x1, y1];
    const [ax, ay, bx, by] = ends;
    const [ox, oy] = [dx * sign, dy * sign];
    return svg("path", { class: "flow off", d: `M${ax + ox} ${ay + oy}L${bx + ox} ${by + oy}` });
  };
  const wire = line({ class: "wire h0", "stroke-width": 2 });
  const flows = { [`${a}->${b}`]: flow(1), [`${b}->${a}`]: flow(-1) };
  const [mx, my] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const [own, title] = group(name, choose, line({ class: "hit" }), wire, ...Object.values(flows), cross(mx, my, 6), mark(mx, my));
  parts.set(name, { own, title, wire, flows, thin: role === "trunk" ? 2.5 : 1.2 });
  return own;
}

function host(g, name, choose, isNode) {
  const [x, y] = g.spots[name];
  const few = Object.keys(g.spots).length <= FEW;
  const r = few ? 9 : 5;
  const shape = isNode
    ? svg("circle", { class: "body h0", cx: x, cy: y, r })
    : svg("path", { class: "body gateway", d: `M${x} ${y - 8}l8 13h-16z` });
  const hit = svg("circle", { class: "hit", cx: x, cy: y, r });
  const [own, title] = group(name, choose, hit, shape, cross(x, y, 6), mark(x, y + 4));
  parts.set(name, { own, title, shape: isNode ? shape : null });
  return own;
}

const cross = (x, y, r) => svg("path", { class: "cross", d: `M${x - r} ${y - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}` });

const mark = (x, y) => svg("text", { class: "mark", x, y, "text-anchor": "middle", "font-size": 13 }, "!");

function label(g, name, unit) {
  const [x, y] = g.spots[name];
  const size = LABEL_PX * unit;
  const site = g.spots[g.at[name]];
  if (!site) {
    // towards the middle: hosts lie on the other side
    const [mx, my] = middle(g);
    const far = Math.hypot(mx - x, my - y) || 1;
    const at = { x: x + (18 * (mx - x)) / far, y: y + size / 3 + (18 * (my - y)) / far };
    return svg("text", { class: "label dim", ...at, "text-anchor": "middle", "font-size": size }, name.slice(0, 14));
  }
  const [dx, dy] = [x - site[0], y - site[1]];
  const away = Math.hypot(dx, dy) || 1;
  const anchor = dx > 0.35 * away ? "start" : dx < -0.35 * away ? "end" : "middle";
  const at = { x: x + (13 * dx) / away, y: y + size / 3 + ((10 + size / 2) * dy) / away };
  return named(name, svg("text", { class: "label", ...at, "text-anchor": anchor, "font-size": size }, name.slice(0, 14)));
}

function middle(g) {
  const spots = g.sites.map((s) => g.spots[s]);
  return [0, 1].map((k) => spots.reduce((sum, p) => sum + p[k], 0) / spots.length);
}

function named(name, text) {
  if (parts.has(name)) parts.get(name).label = text;
  return text;
}

export function show(state) {
  for (const [name, part] of parts) {
    const down = isDown(state, name);
    part.own.classList.toggle("down", down);
    part.own.classList.toggle("shaken", !down && faultsOn(state, name).length > 0);
    const words = part.wire ? showLink(state, name, part, down) : showHost(state, name, part, down);
    part.title.textContent = words;
    part.own.setAttribute("aria-label", words);
  }
}

function showLink(state, name, part, down) {
  const [, , role, configured] = state.ground.links[name];
  const bps = carried(state, name);
  const share = bps / configured;
  part.wire.setAttribute("class", `wire h${heat(share)}`);
  part.wire.setAttribute("stroke-width", part.thin + 5 * Math.min(share, 1));
  for (const [way, path] of Object.entries(part.flows)) {
    const own = (state.status.carried_bps?.[way] ?? 0) / configured;
    path.setAttribute("class", own > 0.002 && !down ? `flow f${heat(own)}` : "flow off");
  }
  const kind = role === "trunk" ? "trunk" : "link";
  return `${kind} ${name}: ${down ? "down" : `${rateOf(bps, configured)}, busier direction`}`;
}

function showHost(state, name, part, down) {
  if (!part.shape) return `gateway ${name}${down ? ": down" : ""}`;
  const load = state.status.load?.[name] ?? 0;
  const here = (state.status.instances ?? []).filter((i) => i.node === name).length;
  part.shape.setAttribute("class", `body h${heat(load)}`);
  if (part.label) part.label.textContent = here ? `${name.slice(0, 14)} ×${here}` : name.slice(0, 14);
  return `node ${name}: ${down ? "down" : `${percent(load, 0)} of ${state.ground.nodes[name]} cores, ${here} instances`}`;
}

export function mark_chosen(name) {
  for (const [own, part] of parts) part.own.classList.toggle("chosen", own === name);
}
