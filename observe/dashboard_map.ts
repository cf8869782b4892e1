/**
 * The picture of a large pool: a tile for each backend, always in the same
 * place. Text of a script; see `dashboard_script.ts`.
 *
 * @module
 */

/** Part of the script: the tiles. */
export const MAP: string = String.raw`
// The tiles: colour and shape show the state of a backend, depth its load.
const sheet = at("map").firstChild, pen = sheet.getContext("2d");
const LEGEND = [["up", "up, darker with more requests"], ["slow", "slow"],
  ["failing", "failing"], ["down", "down"], ["ejected", "ejected"],
  ["draining", "draining"], ["resting", "resting"]];
for (const [name, text] of LEGEND) {
  const item = make("span");
  item.append(make("i", "key " + name), text);
  at("legend").append(item);
}
let grid = { columns: 1, size: 20, width: 20, list: [] };
// Wide enough for a name if all of them then fit a third of the screen.
const layOut = (n, width) => {
  const columns = Math.max(1, Math.floor(width / 150));
  if (Math.ceil(n / columns) <= 6) {
    return { columns, size: 44, width: width / columns, named: true };
  }
  const size = Math.max(9, Math.min(40, Math.floor(Math.sqrt(width * 210 / n))));
  return { columns: Math.floor(width / size), size, width: size, named: false };
};
const tile = (row, x, y, w, h, most) => {
  const kind = row.trouble || row.backend.state;
  const gap = w > 14 ? 2 : 1, left = x + gap, top = y + gap;
  const wide = w - 2 * gap, high = h - 2 * gap;
  const lit = kind === "up" || kind === "slow" || kind === "failing";
  pen.fillStyle = lit ? paints[kind === "up" ? "water" : kind] : paints.line;
  pen.globalAlpha = kind === "up" ? .16 + .6 * Math.min(1, row.load / most)
    : kind === "slow" || kind === "failing" ? .85 : .8;
  pen.beginPath();
  pen.roundRect(left, top, wide, high, Math.min(5, w / 5));
  pen.fill();
  pen.globalAlpha = 1;
  if (lit && kind !== "failing") return;
  const r = Math.min(wide, high) * .27;
  const cx = grid.named ? left + high / 2 : left + wide / 2, cy = top + high / 2;
  pen.fillStyle = pen.strokeStyle = kind === "failing" ? paints.panel
    : paints[kind];
  pen.lineWidth = Math.max(1.5, r / 2.5);
  pen.beginPath();
  if (kind === "down") {
    pen.moveTo(cx, cy - r * 1.3);
    pen.lineTo(cx + r * 1.3, cy);
    pen.lineTo(cx, cy + r * 1.3);
    pen.lineTo(cx - r * 1.3, cy);
    pen.fill();
  } else if (kind === "failing") {
    pen.moveTo(cx - r, cy - r);
    pen.lineTo(cx + r, cy + r);
    pen.moveTo(cx + r, cy - r);
    pen.lineTo(cx - r, cy + r);
    pen.stroke();
  } else {
    pen.arc(cx, cy, r, 0, kind === "draining" ? Math.PI : 7);
    if (kind === "draining") pen.fill();
    else pen.stroke();
  }
};
const caption = (row, x, y, w, h) => {
  const kind = row.trouble || row.backend.state, lit = kind === "up";
  const from = x + (lit || kind === "slow" ? 12 : h - 2);
  const room = Math.floor((x + w - from - 8) / 7.6);
  const name = called(row.backend).replace(/^https?:\/\//, "");
  pen.fillStyle = kind === "slow" || kind === "failing" ? paints.panel
    : paints.text;
  pen.font = "600 12px system-ui, sans-serif";
  pen.fillText(name.length > room ? "…" + name.slice(1 - room) : name, from,
    y + h / 2 - 7);
  pen.font = "11px system-ui, sans-serif";
  pen.fillText(lit || kind === "slow" || kind === "failing"
    ? count(row.load) + "/s · " + time(row.mean) : kind, from, y + h / 2 + 9);
};
const drawMap = () => {
  if (at("map").hidden || document.hidden) return;
  readPaints(performance.now());
  const width = sheet.parentElement.clientWidth - 24, list = [...rows.values()];
  if (width <= 0) return;
  grid = { ...layOut(list.length, width), list };
  const height = Math.ceil(list.length / grid.columns) * grid.size;
  const ratio = devicePixelRatio || 1;
  sheet.width = Math.round(width * ratio);
  sheet.height = Math.round(height * ratio);
  sheet.style.width = width + "px";
  sheet.style.height = height + "px";
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.textBaseline = "middle";
  const most = list.reduce((most, row) => Math.max(most, row.load), .1);
  list.forEach((row, i) => {
    const x = i % grid.columns * grid.width;
    const y = Math.floor(i / grid.columns) * grid.size;
    tile(row, x, y, grid.width, grid.size, most);
    if (grid.named) caption(row, x, y, grid.width, grid.size);
  });
};
const tileAt = ({ offsetX, offsetY }) => {
  const column = Math.floor(offsetX / grid.width);
  return column >= grid.columns ? undefined
    : grid.list[Math.floor(offsetY / grid.size) * grid.columns + column];
};
sheet.addEventListener("mousemove", (event) => {
  const row = tileAt(event);
  sheet.style.cursor = row === undefined ? "" : "pointer";
  at("legend").hidden = row !== undefined;
  put(at("pointed"), row === undefined ? "" : called(row.backend) + ": " +
    (row.trouble || row.backend.state) + ", " + count(row.load) +
    " requests/s, " + time(row.mean) + (why(row) ? " (" + why(row) + ")" : ""));
});
sheet.addEventListener("mouseleave", () => {
  at("legend").hidden = false;
  put(at("pointed"), "");
});
sheet.addEventListener("click", (event) => {
  const row = tileAt(event);
  if (row !== undefined) show(row);
});
addEventListener("resize", drawMap);
`;
