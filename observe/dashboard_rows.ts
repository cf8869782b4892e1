/**
 * The dashboard's rows: figures, sparklines, filters, and their list. Text of a
 * script; see `dashboard_script.ts`.
 *
 * @module
 */

/** Part of the script: the table of backends. */
export const ROWS: string = String.raw`
const KEPT = 60, PROBES = 30, LOGGED = 60, FLOWS = 14;
const SVG = "http://www.w3.org/2000/svg";
const at = (id) => document.getElementById(id);
const make = (name, kind, text) => {
  const element = document.createElement(name);
  if (kind) element.className = kind;
  if (text !== undefined) element.textContent = text;
  return element;
};
const changes = document.body.dataset.changes === "true";
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const rows = new Map();
const all = { rps: [], latency: [], inflight: [], errors: [], refused: [] };
let chosen = "all", made = 0;

// Numbers and times as people read them.
const clock = (date) =>
  new Date(date).toLocaleTimeString([], { hourCycle: "h23" });
const count = (n) => n >= 10000 ? (n / 1000).toFixed(n >= 1e5 ? 0 : 1) + "k"
  : n >= 100 || Number.isInteger(n) ? String(Math.round(n)) : n.toFixed(1);
const time = (ms) => ms === null || ms === undefined ? "–"
  : ms >= 1000 ? (ms / 1000).toFixed(ms >= 10000 ? 0 : 1) + " s"
  : ms >= 10 ? Math.round(ms) + " ms" : ms.toFixed(1) + " ms";
const put = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

// A line and the area under it; a second without a value leaves a gap.
const draw = (svg, values, floor) => {
  const [area, line] = svg.children;
  const height = svg.viewBox.baseVal.height;
  let most = floor;
  for (const v of values) if (v > most) most = v;
  const scale = (height - 3) / (most * 1.08);
  let path = "", fill = "", open = -1;
  const from = KEPT - values.length;
  for (let i = 0; i <= values.length; i++) {
    const v = i < values.length ? values[i] : null;
    if (v === null) {
      if (open >= 0) fill += "V" + height + "H" + open + "Z";
      open = -1;
      continue;
    }
    const x = from + i, y = (height - 1.5 - v * scale).toFixed(2);
    path += (open < 0 ? "M" : "L") + x + " " + y;
    fill += (open < 0 ? "M" + x + " " + height + "L" : "L") + x + " " + y;
    if (open < 0) open = x;
  }
  line.setAttribute("d", path);
  area.setAttribute("d", fill);
};
const push = (list, value) => {
  list.push(value);
  if (list.length > KEPT) list.shift();
};

const spark = (kind) => {
  const box = make("div", "spark " + kind);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 59 24");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const name of ["area", "line"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    svg.append(path);
  }
  const value = make("output", "", "–");
  // Screen readers would read every second's number aloud.
  value.setAttribute("aria-live", "off");
  box.append(svg, value);
  return { box, svg, value };
};

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const row = entry.target.row;
    row.visible = entry.isIntersecting;
    if (row.visible) paint(row);
  }
}, { rootMargin: "200px" });

const newRow = (backend) => {
  const row = {
    backend, visible: false, rps: [], ms: [], bads: [], inFlight: 0,
    probes: [], element: make("tr"), flow: 0, bad: 0, trouble: "", mean: null, load: 0,
    failed: 0, connections: null, number: made++,
  };
  const cell = (name, ...children) => {
    const td = make("td");
    td.setAttribute("role", "cell");
    td.dataset.name = name;
    td.append(...children);
    row.element.append(td);
  };
  row.element.setAttribute("role", "row");
  row.element.row = row;
  row.element.dataset.id = backend.id;
  row.url = make("span", "url");
  row.tag = make("span", "tag", "backup");
  row.address = make("span", "address");
  row.state = make("span", "state");
  row.verdict = make("span", "state");
  row.reason = make("span", "reason");
  row.weight = make("input", "weight");
  Object.assign(row.weight, { type: "number", min: 0, max: 1000, step: 1 });
  row.weight.disabled = !changes;
  row.weight.setAttribute("aria-label", "Weight of " + called(backend));
  row.weight.addEventListener("change", () => {
    const weight = row.weight.valueAsNumber;
    if (row.weight.checkValidity() && Number.isInteger(weight)) {
      change(row, { weight });
    } else {
      row.weight.value = row.backend.weight;
      say("A weight is a whole number from 0 to 1000.");
    }
  });
  row.rate = spark("");
  row.latency = spark("slow");
  row.errors = make("span", "failed");
  row.now = make("span", "", "0");
  row.conns = make("span");
  row.strip = make("div", "probes");
  row.strip.setAttribute("role", "img");
  row.button = make("button", "act");
  row.button.type = "button";
  row.button.disabled = !changes;
  if (!changes) row.button.title = "Changes are off: start with ADMIN_TOKEN";
  row.button.addEventListener("click", () =>
    change(row, { draining: !row.backend.draining }));
  cell("Backend", row.url, row.tag, row.address);
  cell("State", row.state, row.verdict, row.reason);
  cell("Weight", row.weight);
  const figure = make("span", "figure");
  figure.append(row.rate.value, row.errors);
  row.rate.box.append(figure);
  cell("Requests/s", row.rate.box);
  cell("Latency", row.latency.box);
  cell("In flight", row.now);
  cell("Connections", row.conns);
  row.conns.parentElement.classList.add("conns");
  cell("Probes", row.strip);
  cell("Change", row.button);
  tell(row, backend);
  return row;
};

// By its name, if it has one.
const called = ({ name, url }) => name ?? url;

// What seldom changes is written when it does.
const tell = (row, backend) => {
  row.backend = backend;
  put(row.url, called(backend));
  put(row.address, backend.name === null ? "" : backend.url);
  row.address.title = backend.url;
  row.tag.hidden = !backend.backup;
  put(row.state, backend.state);
  row.state.className = "state " + backend.state;
  row.element.dataset.state = backend.state;
  put(row.reason, backend.state === "up" ? "" : backend.reason ?? "");
  if (document.activeElement !== row.weight) row.weight.value = backend.weight;
  const name = backend.draining ? "Resume" : "Drain";
  put(row.button, name);
  row.button.setAttribute("aria-label", name + " " + called(backend));
  filter(row);
};

const paint = (row) => {
  draw(row.rate.svg, row.rps, 1);
  draw(row.latency.svg, row.ms, 1);
  put(row.rate.value, count(row.rps.at(-1) ?? 0));
  put(row.latency.value, time(row.ms.at(-1)));
  put(row.now, String(row.inFlight));
  put(row.errors, row.bad > 0 ? count(row.bad) + " errors/s" : "");
  const { connections } = row;
  put(row.conns, connections === null ? ""
    : connections.busy + " busy, " + connections.idle + " idle");
  const word = row.trouble === "slow" || row.trouble === "failing"
    ? row.trouble : "";
  put(row.verdict, word);
  row.verdict.className = "state " + word;
  row.verdict.hidden = word === "";
  if (row.drawn === row.probes.length + ":" + row.probes.at(-1)?.at) return;
  row.drawn = row.probes.length + ":" + row.probes.at(-1)?.at;
  const bars = row.probes.map((probe) => {
    const bar = make("i", probe.passed ? "" : "bad");
    bar.title = clock(probe.at) + ": " + probe.heard +
      ", " + time(probe.ms);
    return bar;
  });
  row.strip.replaceChildren(...bars);
  const last = row.probes.at(-1);
  const failed = row.probes.filter((probe) => !probe.passed).length;
  row.strip.setAttribute("aria-label", last === undefined ? "no probes yet"
    : "last probe: " + last.heard + "; " + failed + " of the last " +
      row.probes.length + " failed");
};

// Which rows are shown.
const filter = (row) => {
  const word = at("find").value.trim().toLowerCase();
  row.element.hidden = (chosen !== "all" && row.backend.state !== chosen &&
      row.trouble !== chosen) ||
    (word !== "" && !(called(row.backend) + " " + row.backend.url).toLowerCase()
      .includes(word));
};
const filterAll = () => {
  let shown = 0;
  for (const row of rows.values()) {
    filter(row);
    if (!row.element.hidden) shown++;
  }
  at("none").hidden = shown > 0;
};
at("find").addEventListener("input", filterAll);
const chips = new Map();
for (const name of ["all", "up", "down", "ejected", "failing", "slow",
  "draining", "resting"]) {
  const button = make("button");
  button.type = "button";
  button.addEventListener("click", () => {
    chosen = name;
    summarize();
    filterAll();
  });
  chips.set(name, button);
  at("chips").append(button);
}
const summarize = () => {
  const counts = { all: rows.size };
  for (const { backend, trouble } of rows.values()) {
    counts[backend.state] = (counts[backend.state] ?? 0) + 1;
    if (trouble !== "" && trouble !== backend.state) {
      counts[trouble] = (counts[trouble] ?? 0) + 1;
    }
  }
  for (const [name, button] of chips) {
    put(button, name + " " + (counts[name] ?? 0));
    button.hidden = !counts[name] && name !== chosen && name !== "all";
    button.setAttribute("aria-pressed", String(name === chosen));
  }
  const bad = (counts.down ?? 0) + (counts.ejected ?? 0);
  document.title = (bad > 0 ? "(" + bad + ") " : "") + "Sluice";
  at("none").hidden = rows.size > 0;
  at("flow").hidden = rows.size === 0 || rows.size > FLOWS;
  at("map").hidden = rows.size <= FLOWS;
  document.body.classList.toggle("many", rows.size > 40);
};

// Rebuilds the list where it differs; many rows take several frames.
let listing = 0;
const list = (backends) => {
  const turn = ++listing;
  const wanted = new Set(backends.map((backend) => backend.id));
  for (const [id, row] of rows) if (!wanted.has(id)) drop(id, row);
  let next = 0;
  const some = () => {
    if (turn !== listing) return;
    const end = performance.now() + 8;
    while (next < backends.length && performance.now() < end) {
      add(backends[next]).number = next++;
    }
    summarize();
    made = next;
    if (next < backends.length) requestAnimationFrame(some);
    else sortRows(true);
  };
  some();
};
// Rows keep their place while the list has the pointer or the focus in it.
const ORDERS = {
  listed: () => 0,
  problems: (a, b) => rankOf(a) - rankOf(b),
  slowest: (a, b) => (b.mean ?? -1) - (a.mean ?? -1),
  busiest: (a, b) => b.flow - a.flow,
};
const rankOf = (row) => RANK[row.trouble || row.backend.state];
const sortRows = (asked) => {
  const body = at("rows");
  if (!asked && (body.matches(":hover") ||
    body.contains(document.activeElement))) return;
  const order = ORDERS[at("sort").value];
  const sorted = [...rows.values()].sort((a, b) =>
    order(a, b) || a.number - b.number);
  let there = body.firstChild;
  for (const { element } of sorted) {
    if (element === there) there = there.nextSibling;
    else body.insertBefore(element, there);
  }
};
at("sort").addEventListener("change", () => sortRows(true));
const add = (backend) => {
  let row = rows.get(backend.id);
  if (row !== undefined) return tell(row, backend), row;
  row = newRow(backend);
  rows.set(backend.id, row);
  const past = history?.backends[backend.id];
  if (past !== undefined) {
    row.rps = past.requestsPerSecond;
    row.ms = past.latencyMs;
    row.bads = past.errorsPerSecond;
    row.probes = past.probes;
  }
  at("rows").append(row.element);
  seen.observe(row.element);
  return row;
};
const drop = (id, row) => {
  seen.unobserve(row.element);
  row.element.remove();
  rows.delete(id);
};
`;
