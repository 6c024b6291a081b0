// The on-time rate through the run, with what was in force meanwhile.

import { byId, svg } from "./draw.js";

const SPAN = 120; // nominal s in view
const [LEFT, RIGHT, TOP, FOOT, HIGH] = [40, 16, 22, 36, 210];

export function show(state) {
  const box = byId("chart");
  const wide = Math.max(box.clientWidth, 240);
  const now = state.status.t ?? 0;
  const span = Math.min(SPAN, state.ground.horizon_s);
  const from = Math.max(0, Math.min(Math.ceil(now / 5) * 5, state.ground.horizon_s) - span);
  const x = (t) => LEFT + ((t - from) / span) * (wide - LEFT - RIGHT);
  const y = (share) => TOP + (1 - share) * (HIGH - TOP - FOOT);
  const words = `on-time rate of the last ${span} s`;
  const drawing = svg("svg", { viewBox: `0 0 ${wide} ${HIGH}`, role: "img", "aria-label": words });
  drawing.append(...bands(state, from, from + span, now, x, y), ...axes(from, span, x, y, wide));
  if (state.ground.claimed !== null) {
    const at = y(state.ground.claimed);
    drawing.append(svg("line", { class: "claimed", x1: LEFT, x2: wide - RIGHT, y1: at, y2: at }));
  }
  const seen = state.points.filter(([t]) => t >= from);
  drawing.append(line(seen, 2, "mean", x, y), line(seen, 1, "recent", x, y), ...legend(state));
  box.replaceChildren(drawing);
}

function line(points, k, cls, x, y) {
  let d = "";
  for (const p of points) if (p[k] !== null) d += `${d ? "L" : "M"}${x(p[0]).toFixed(1)} ${y(p[k]).toFixed(1)}`;
  return svg("path", { class: cls, d: d || "M0 0" });
}

function bands(state, from, to, now, x, y) {
  return state.faults.bands
    .filter((b) => (b.to ?? now) >= from && b.from <= to)
    .map((b) => {
      const [a, e] = [Math.max(b.from, from), Math.min(b.to ?? Math.max(now, b.from), to)];
      const rect = svg("rect", { class: "band", x: x(a), y: y(1), width: Math.max(x(e) - x(a), 2), height: y(0) - y(1) });
      rect.append(svg("title", {}, b.name));
      return rect;
    });
}

function axes(from, span, x, y, wide) {
  const out = [];
  const text = (at, words, more = {}) => svg("text", { class: "dim", "font-size": 12, ...at, ...more }, words);
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    out.push(svg("line", { class: "grid", x1: LEFT, x2: wide - RIGHT, y1: y(share), y2: y(share) }));
    out.push(text({ x: LEFT - 6, y: y(share) + 4 }, `${100 * share}`, { "text-anchor": "end" }));
  }
  const step = [1, 2, 5, 10, 20, 30, 60].find((s) => span / s <= (wide < 420 ? 5 : 8)) ?? 120;
  for (let t = Math.ceil(from / step) * step; t <= from + span; t += step) {
    out.push(text({ x: x(t), y: HIGH - 20 }, `${t}`, { "text-anchor": "middle" }));
  }
  out.push(text({ x: (LEFT + wide) / 2, y: HIGH - 4 }, "nominal time, s", { "text-anchor": "middle" }));
  out.push(text({ x: 0, y: 12 }, "%"));
  return out;
}

function legend(state) {
  const entries = [["recent", "last 5 s"], ["mean", "whole run"]];
  if (state.ground.claimed !== null) entries.push(["claimed", "claimed"]);
  return entries.flatMap(([cls, words], i) => {
    const at = LEFT + i * 96;
    return [
      svg("line", { class: cls, x1: at, x2: at + 20, y1: 8, y2: 8 }),
      svg("text", { x: at + 25, y: 12, "font-size": 12, class: "dim" }, words),
    ];
  });
}
