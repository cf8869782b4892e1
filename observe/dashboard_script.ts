/**
 * The dashboard's script, as text: it runs in a browser and nowhere else.
 *
 * What it is told it writes with `textContent` and into attributes of its own
 * making, never as HTML. A row is drawn only while it is on the screen, and
 * rows are made a few at a time, so a thousand of them are no matter.
 *
 * @module
 */

/** The page's script; it must hold neither a backtick nor `</script`. */
export const SCRIPT = String.raw`
"use strict";
(() => {
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
const all = { rps: [], latency: [], inflight: [], errors: [] };
let chosen = "all";

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
    backend, visible: false, rps: [], ms: [], inFlight: 0, probes: [],
    element: make("tr"), flow: 0, bad: 0,
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
  row.state = make("span", "state");
  row.weight = make("input", "weight");
  Object.assign(row.weight, { type: "number", min: 0, max: 1000, step: 1 });
  row.weight.disabled = !changes;
  row.weight.setAttribute("aria-label", "Weight of " + backend.url);
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
  row.now = make("span", "", "0");
  row.strip = make("div", "probes");
  row.strip.setAttribute("role", "img");
  row.button = make("button", "act");
  row.button.type = "button";
  row.button.disabled = !changes;
  if (!changes) row.button.title = "Changes are off: start with ADMIN_TOKEN";
  row.button.addEventListener("click", () =>
    change(row, { draining: !row.backend.draining }));
  cell("Backend", row.url, row.tag);
  cell("State", row.state);
  cell("Weight", row.weight);
  cell("Requests a second", row.rate.box);
  cell("Latency", row.latency.box);
  cell("In flight", row.now);
  cell("Probes", row.strip);
  cell("Change", row.button);
  tell(row, backend);
  return row;
};

// What seldom changes is written when it does.
const tell = (row, backend) => {
  row.backend = backend;
  put(row.url, backend.url);
  row.tag.hidden = !backend.backup;
  put(row.state, backend.state);
  row.state.className = "state " + backend.state;
  row.element.dataset.state = backend.state;
  if (document.activeElement !== row.weight) row.weight.value = backend.weight;
  const name = backend.draining ? "Resume" : "Drain";
  put(row.button, name);
  row.button.setAttribute("aria-label", name + " " + backend.url);
  filter(row);
};

const paint = (row) => {
  draw(row.rate.svg, row.rps, 1);
  draw(row.latency.svg, row.ms, 1);
  put(row.rate.value, count(row.rps.at(-1) ?? 0));
  put(row.latency.value, time(row.ms.at(-1)));
  put(row.now, String(row.inFlight));
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
  row.element.hidden = (chosen !== "all" && row.backend.state !== chosen) ||
    (word !== "" && !row.backend.url.toLowerCase().includes(word));
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
for (const name of ["all", "up", "down", "ejected", "draining", "resting"]) {
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
  for (const { backend } of rows.values()) {
    counts[backend.state] = (counts[backend.state] ?? 0) + 1;
  }
  for (const [name, button] of chips) {
    put(button, (counts[name] ?? 0) + " " + name);
    button.hidden = !counts[name] && name !== chosen && name !== "all";
    button.setAttribute("aria-pressed", String(name === chosen));
  }
  const bad = (counts.down ?? 0) + (counts.ejected ?? 0);
  document.title = (bad > 0 ? "(" + bad + ") " : "") + "Sluice";
  at("none").hidden = rows.size > 0;
  at("flow").hidden = rows.size === 0 || rows.size > FLOWS;
};

// The list, made anew where it differs; many rows take several frames.
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
      const { element } = add(backends[next]);
      const there = at("rows").children[next++];
      if (there !== element) at("rows").insertBefore(element, there ?? null);
    }
    summarize();
    if (next < backends.length) requestAnimationFrame(some);
  };
  some();
};
const add = (backend) => {
  let row = rows.get(backend.id);
  if (row !== undefined) return tell(row, backend), row;
  row = newRow(backend);
  rows.set(backend.id, row);
  const past = history?.backends[backend.id];
  if (past !== undefined) {
    row.rps = past.requestsPerSecond;
    row.ms = past.latencyMs;
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

// Changes by hand.
const say = (text) => {
  const toast = at("toast");
  put(toast, text);
  toast.hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => toast.hidden = true, 6000);
};
const KEY = "sluice-token";
let token = "";
try { token = sessionStorage.getItem(KEY) ?? ""; } catch { /* not allowed */ }
const keep = (value) => {
  token = value;
  try { sessionStorage.setItem(KEY, value); } catch { /* not allowed */ }
};
const ask = (wrong) => new Promise((resolve) => {
  const dialog = at("ask"), field = at("token");
  put(at("why"), wrong ? "That is not the token. Try again."
    : "It is the proxy's ADMIN_TOKEN, and is kept until this tab is closed.");
  at("why").className = wrong ? "wrong" : "";
  field.value = "";
  const end = (value) => {
    at("form").onsubmit = at("cancel").onclick = dialog.oncancel = null;
    dialog.close();
    resolve(value);
  };
  at("form").onsubmit = (event) => {
    event.preventDefault();
    end(field.value);
  };
  at("cancel").onclick = () => end("");
  dialog.oncancel = () => end("");
  dialog.showModal();
  field.focus();
});
const change = async (row, body) => {
  let wrong = false;
  for (;;) {
    if (token === "") keep(await ask(wrong));
    if (token === "") return tell(row, row.backend);
    let response, answer;
    try {
      response = await fetch("/backends/" + encodeURIComponent(row.backend.id), {
        method: "PATCH",
        headers: {
          "authorization": "Bearer " + token,
          "content-type": "application/json",
        },
        body: JSON.stringify(body),
      });
      answer = await response.json();
    } catch {
      tell(row, row.backend);
      return say("The change did not reach the proxy.");
    }
    if (response.status === 401) {
      keep("");
      wrong = true;
      continue;
    }
    if (response.ok) tell(row, answer), summarize();
    else tell(row, row.backend), say(answer.error);
    return;
  }
};

// What has happened.
const WORDS = {
  up: "is up", down: "is down", ejected: "is ejected",
  readmitted: "is back after its ejection", added: "was added",
  removed: "was removed", changed: "was changed", draining: "is draining",
  panic: "All that is left is ejected, and is used", reloaded:
  "The list of backends was read again",
};
const LOOKS = { readmitted: "up", added: "up", removed: "resting",
  changed: "resting", panic: "down", reloaded: "resting" };
const known = new Set();
const happened = (event) => {
  if (event.lastEventId !== "" && known.has(event.lastEventId)) return;
  known.add(event.lastEventId);
  const { type, time, reason, backend } = JSON.parse(event.data);
  // What comes before the list is older than it.
  if (backend !== undefined && live) {
    if (type === "removed") {
      const row = rows.get(backend.id);
      if (row !== undefined) drop(backend.id, row);
    } else {
      const row = add(backend);
      row.element.classList.add("news");
      setTimeout(() => row.element.classList.remove("news"), 100);
    }
    summarize();
  }
  const item = make("li");
  const when = make("time", "", clock(time));
  when.dateTime = time;
  const text = make("span", "", (backend === undefined ? "" : backend.url + " ") +
    (WORDS[type] ?? type));
  if (type === "changed" && backend !== undefined) {
    text.textContent += ": weight " + backend.weight + ", " + backend.state;
  }
  if (reason) text.append(make("span", "why", " (" + reason + ")"));
  const label = make("span");
  label.append(make("span", "state " + (LOOKS[type] ?? type), type));
  item.append(when, label, text);
  at("log").prepend(item);
  while (at("log").children.length > LOGGED) at("log").lastChild.remove();
  at("quiet").hidden = true;
  if (live) announce(text.textContent);
};
// Said to a screen reader together, and not one over the other.
let waiting = [], saying;
const announce = (text) => {
  waiting.push(text);
  saying ??= setTimeout(() => {
    const many = waiting.length > 4;
    put(at("said"), many ? waiting.length + " changes; the last: " +
      waiting.at(-1) : waiting.join(". "));
    waiting = [];
    saying = undefined;
  }, 700);
};

// Figures of each second.
let history;
const overall = (figures) => {
  push(all.rps, figures.requestsPerSecond);
  push(all.latency, figures.latencyMs.p50);
  push(all.inflight, figures.inFlight);
  push(all.errors, figures.errorsPerSecond);
};
const showCard = (id, value, small, floor) => {
  const card = at(id);
  put(card.querySelector("b"), value);
  put(card.querySelector("small"), small);
  draw(card.querySelector("svg"), all[id], floor);
};
const showAll = (figures) => {
  const { latencyMs, retriesPerSecond, refusedPerSecond, inFlightLimit } =
    figures;
  showCard("rps", count(figures.requestsPerSecond), "/ s", 1);
  showCard("latency", time(latencyMs.p50),
    time(latencyMs.p95) + " · " + time(latencyMs.p99), 1);
  showCard("inflight", count(figures.inFlight),
    inFlightLimit > 0 ? "limit " + count(inFlightLimit) : "", 1);
  showCard("errors", count(figures.errorsPerSecond), "/ s" +
    (retriesPerSecond > 0 ? " · " + count(retriesPerSecond) + " retries" : "") +
    (refusedPerSecond > 0 ? " · " + count(refusedPerSecond) + " refused" : ""),
    1);
};
const figured = (figures) => {
  overall(figures);
  for (const [id, row] of rows) {
    const of = figures.backends[id];
    push(row.rps, of?.requestsPerSecond ?? 0);
    push(row.ms, of?.latencyMs ?? null);
    row.inFlight = of?.inFlight ?? 0;
    row.flow = of?.requestsPerSecond ?? 0;
    row.bad = of?.errorsPerSecond ?? 0;
  }
  for (const probe of figures.probes ?? []) {
    const row = rows.get(probe.id);
    if (row === undefined) continue;
    row.probes.push(probe);
    if (row.probes.length > PROBES) row.probes.shift();
  }
  if (document.hidden) return;
  showAll(figures);
  for (const row of rows.values()) if (row.visible) paint(row);
};

// The connection.
let source, live = false, heard = 0, again;
const status = (name, text) => {
  at("live").className = "live " + name;
  put(at("live").lastChild, text);
  document.body.classList.toggle("lost", name === "lost");
};
const lost = () => {
  live = false;
  status("lost", "connection lost, trying again");
};
const fresh = async () => {
  try {
    const response = await fetch("/backends");
    list((await response.json()).backends);
  } catch {
    lost();
  }
};
const connect = () => {
  clearTimeout(again);
  source?.close();
  heard = performance.now();
  source = new EventSource("/events?history=on");
  source.addEventListener("open", () => heard = performance.now());
  source.addEventListener("history", async (event) => {
    history = JSON.parse(event.data);
    for (const name of Object.keys(all)) all[name].length = 0;
    for (const figures of history.all) overall(figures);
    if (history.all.length > 0) showAll(history.all.at(-1));
    for (const [id, row] of rows) {
      const past = history.backends[id];
      if (past === undefined) continue;
      row.rps = past.requestsPerSecond;
      row.ms = past.latencyMs;
      row.probes = past.probes;
    }
    await fresh();
    live = true;
    status("on", "live");
  });
  source.addEventListener("figures", (event) => {
    heard = performance.now();
    figured(JSON.parse(event.data));
  });
  for (const type of Object.keys(WORDS)) {
    source.addEventListener(type, happened);
  }
  source.addEventListener("error", () => {
    lost();
    // The browser tries again by itself, but not after an answer that says no.
    if (source.readyState === EventSource.CLOSED) {
      clearTimeout(again);
      again = setTimeout(connect, 1500);
    }
  });
};
// A connection can be dead without a word: figures come every second.
setInterval(() => {
  if (live && performance.now() - heard > 5000) {
    lost();
    connect();
  }
}, 1000);
addEventListener("pageshow", (event) => { if (event.persisted) connect(); });

// The water: as much of it runs to each backend as it gets requests.
const canvas = at("flow").firstChild, ink = canvas.getContext("2d");
const drops = [];
let before = 0;
const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue("--" + name);
let paints = {}, painted = -1e9;
const flow = (now) => {
  requestAnimationFrame(flow);
  if (document.hidden || at("flow").hidden) return;
  const passed = Math.min(now - before, 100) / 1000;
  if (calm.matches && now - before < 1000) return;
  before = now;
  if (now - painted > 2000) {
    for (const name of ["water", "foam", "up", "down", "ejected", "draining",
      "resting", "text", "soft", "line"]) paints[name] = colour(name);
    painted = now;
  }
  const list = [...rows.values()];
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
    const state = row.backend.state;
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
    const name = row.backend.url.replace(/^https?:\/\//, "");
    const short = name.length > (narrow ? 18 : 30)
      ? "…" + name.slice(narrow ? -17 : -29) : name;
    ink.fillText(short, to + 22, end);
    if (!narrow) {
      ink.textAlign = "right";
      ink.font = "12px system-ui, sans-serif";
      ink.fillStyle = state === "up" ? paints.soft : paints[state];
      ink.fillText(state === "up" ? count(row.flow) + " / s" : state,
        width - 20, end);
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
requestAnimationFrame(flow);
connect();
})();
`;
