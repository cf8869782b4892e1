/**
 * The picture on the dashboard: the width of each stream is the backend's
 * request rate. Text of a script; see `dashboard_script.ts`.
 *
 * @module
 */

/** Part of the script: the canvas. */
export const WATER: string = String.raw`
// The water: the width of each stream is the backend's request rate.
const canvas = at("flow").firstChild, ink = canvas.getContext("2d");
const drops = [];
let before = 0;
const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue("--" + name);
let paints = {}, painted = -1e9;
const readPaints = (now) => {
  if (now - painted <= 2000) return;
  for (const name of ["water", "foam", "up", "down", "ejected", "draining",
    "resting", "slow", "failing", "text", "soft", "line", "panel"]) {
    paints[name] = colour(name);
  }
  painted = now;
};
const flow = (now) => {
  requestAnimationFrame(flow);
  if (document.hidden || at("flow").hidden) return;
  const passed = Math.min(now - before, 100) / 1000;
  if (calm.matches && now - before < 1000) return;
  before = now;
  readPaints(now);
  const list = [...rows.values()].sort((a, b) => a.number - b.number);
  const width = canvas.clientWidth, ratio = devicePixelRatio || 1;
  const gap = list.length > 8 ? 24 : 32;
  const height = list.length * gap + 36;
  if (canvas.width !== Math.round(width * ratio) ||
    canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = height + "px";
  }
  ink.setTransform(ratio, 0, 0, ratio, 0, 0);
  ink.clearRect(0, 0, width, height);
  const narrow = width < 620;
  const from = narrow ? 24 : 60, to = width - (narrow ? 158 : 290);
  let total = 0;
  for (const row of list) {
    row.smooth = (row.smooth ?? 0) + ((row.flow ?? 0) - (row.smooth ?? 0)) *
      Math.min(1, passed * 2.5);
    total += row.smooth;
  }
  const widest = Math.min(54, list.length * gap * .5);
  const widthOf = (row) => total < .05 ? 0
    : Math.max(row.smooth > .05 ? 1.2 : 0, row.smooth / total * widest);
  let y = height / 2 - list.reduce((sum, row) => sum + widthOf(row), 0) / 2;
  const middle = (from + to) / 2;
  ink.lineCap = "butt";
  list.forEach((row, i) => {
    const thick = widthOf(row), end = 18 + gap / 2 + i * gap;
    const start = y + thick / 2;
    y += thick;
    row.line = [from, start, middle, start, middle, end, to, end, thick];
    const state = row.trouble || row.backend.state;
    ink.beginPath();
    ink.moveTo(from, start);
    ink.bezierCurveTo(middle, start, middle, end, to, end);
    ink.strokeStyle = thick > 0 ? paints.water : paints.line;
    ink.globalAlpha = thick > 0 ? .22 : .9;
    ink.setLineDash(thick > 0 ? [] : [3, 5]);
    ink.lineWidth = Math.max(thick, 1);
    ink.stroke();
    ink.setLineDash([]);
    ink.globalAlpha = 1;
    ink.beginPath();
    ink.arc(to + 10, end, 4.5, 0, 7);
    ink.fillStyle = paints[state];
    ink.fill();
    ink.textBaseline = "middle";
    ink.font = "600 12px system-ui, sans-serif";
    ink.fillStyle = state === "up" ? paints.text : paints[state];
    const name = called(row.backend).replace(/^https?:\/\//, "");
    const short = name.length > (narrow ? 18 : 30)
      ? "…" + name.slice(narrow ? -17 : -29) : name;
    ink.fillText(short, to + 22, end);
    if (!narrow) {
      ink.textAlign = "right";
      ink.font = "12px system-ui, sans-serif";
      ink.fillStyle = state === "up" ? paints.soft : paints[state];
      ink.fillText(state === "up" ? count(row.flow) + "/s"
        : state === "slow" || state === "failing"
        ? state + " · " + count(row.flow) + "/s" : state, width - 20, end);
      ink.textAlign = "left";
    }
    if (calm.matches) return;
    row.due = (row.due ?? 0) +
      passed * Math.min(26, Math.sqrt(row.smooth) * 3.2);
    while (row.due >= 1 && drops.length < 500) {
      row.due--;
      drops.push({ row, at: -Math.random() * .03, speed: .42 +
        Math.random() * .25, off: Math.random() - .5,
        bad: Math.random() * Math.max(row.flow, .1) < row.bad });
    }
    if (row.due > 1) row.due = 0;
  });
  // The gate.
  ink.fillStyle = paints.water;
  const open = Math.max(y - height / 2, 6);
  ink.fillRect(from - 9, 14, 5, Math.max(0, height / 2 - open - 18));
  ink.fillRect(from - 9, height / 2 + open + 4, 5,
    Math.max(0, height / 2 - open - 18));
  ink.globalAlpha = .22;
  ink.fillRect(0, height / 2 - open, from, open * 2);
  ink.globalAlpha = 1;
  for (let i = drops.length - 1; i >= 0; i--) {
    const drop = drops[i];
    drop.at += drop.speed * passed;
    if (drop.at >= 1 || !rows.has(drop.row.backend.id)) {
      drops[i] = drops[drops.length - 1];
      drops.pop();
      continue;
    }
    const [x0, y0, x1, y1, x2, y2, x3, y3, thick] = drop.row.line;
    const t = Math.max(0, drop.at), s = 1 - t;
    const x = s*s*s*x0 + 3*s*s*t*x1 + 3*s*t*t*x2 + t*t*t*x3;
    const yy = s*s*s*y0 + 3*s*s*t*y1 + 3*s*t*t*y2 + t*t*t*y3;
    ink.globalAlpha = Math.min(1, 4 * t, 4 * s) * .95;
    ink.fillStyle = drop.bad ? paints.down : paints.foam;
    ink.beginPath();
    ink.arc(x, yy + drop.off * Math.max(0, thick - 3), 1.7, 0, 7);
    ink.fill();
  }
  ink.globalAlpha = 1;
};
`;
