/**
 * What moves the dashboard: changes by hand, events, figures and the connection
 * that they come by. Text of a script; see `dashboard_script.ts`.
 *
 * @module
 */

/** Part of the script: what changes, and the connection. */
export const LIVE: string = String.raw`
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
  put(at("why"), wrong ? "Wrong token. Try again."
    : "Enter the value of ADMIN_TOKEN. It is kept until you close this tab.");
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
  readmitted: "is used again", added: "was added",
  removed: "was removed", changed: "was changed", draining: "is draining",
  panic: "Every backend left is ejected; they are used anyway",
  reloaded: "The list of backends was read again",
  certificate: "New connections get a new certificate",
};
const LOOKS = { readmitted: "up", added: "up", removed: "resting",
  changed: "resting", panic: "down", reloaded: "resting",
  certificate: "draining" };
const known = new Set();
const happened = (event) => {
  if (event.lastEventId !== "" && known.has(event.lastEventId)) return;
  known.add(event.lastEventId);
  const { type, time, reason, backend } = JSON.parse(event.data);
  // Events before the list are older than it.
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
    showNow();
    sortRows(false);
  }
  const item = make("li");
  const when = make("time", "", clock(time));
  when.dateTime = time;
  const text = make("span", "", (backend === undefined ? "" : called(backend) + " ") +
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
// Read to a screen reader together, without interrupting each other.
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
  push(all.refused, figures.rateLimitedPerSecond + figures.overLimitPerSecond);
};
const showCard = (id, value, small, floor) => {
  const card = at(id);
  put(card.querySelector("b"), value);
  put(card.querySelector("small"), small);
  draw(card.querySelector("svg"), all[id], floor);
};
const showAll = (figures) => {
  const { latencyMs, retriesPerSecond, inFlightLimit, waiting } = figures;
  limits = figures;
  showCard("rps", count(figures.requestsPerSecond), "/s", 1);
  showCard("latency", time(latencyMs.p50),
    "p95 " + time(latencyMs.p95) + " · p99 " + time(latencyMs.p99), 1);
  showCard("inflight", count(figures.inFlight),
    inFlightLimit > 0
      ? (waiting > 0 ? count(waiting) + " waiting, " : "") + "limit " +
        count(inFlightLimit)
      : "", 1);
  showCard("errors", count(figures.errorsPerSecond), "/s" +
    (retriesPerSecond > 0 ? " · " + count(retriesPerSecond) + " retries/s" : ""),
    1);
  const { rateLimitedPerSecond: rate, overLimitPerSecond: over } = figures;
  showCard("refused", count(rate + over), "/s" +
    (rate > 0 && over > 0 ? " · " + count(rate) + " by RATE_LIMIT" : ""), 1);
};
const figured = (figures) => {
  overall(figures);
  Object.assign(proxy, figures.proxy);
  for (const [id, row] of rows) {
    const of = figures.backends[id];
    push(row.rps, of?.requestsPerSecond ?? 0);
    push(row.ms, of?.latencyMs ?? null);
    push(row.bads, of?.errorsPerSecond ?? 0);
    row.inFlight = of?.inFlight ?? 0;
    row.flow = of?.requestsPerSecond ?? 0;
    row.bad = of?.errorsPerSecond ?? 0;
    row.connections = of?.connections ?? null;
  }
  document.body.classList.toggle("noconns",
    Object.values(figures.backends).every((one) => one.connections === null));
  for (const probe of figures.probes ?? []) {
    const row = rows.get(probe.id);
    if (row === undefined) continue;
    row.probes.push(probe);
    if (row.probes.length > PROBES) row.probes.shift();
  }
  if (document.hidden) return;
  showAll(figures);
  showNow();
  sortRows(false);
  for (const row of rows.values()) if (row.visible) paint(row);
  drawMap();
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
    Object.assign(proxy, history.proxy);
    for (const name of Object.keys(all)) all[name].length = 0;
    for (const figures of history.all) overall(figures);
    if (history.all.length > 0) showAll(history.all.at(-1));
    for (const [id, row] of rows) {
      const past = history.backends[id];
      if (past === undefined) continue;
      row.rps = past.requestsPerSecond;
      row.ms = past.latencyMs;
      row.bads = past.errorsPerSecond;
      row.probes = past.probes;
    }
    await fresh();
    showNow();
    drawMap();
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
    // The browser reconnects by itself, but not after a refusal.
    if (source.readyState === EventSource.CLOSED) {
      clearTimeout(again);
      again = setTimeout(connect, 1500);
    }
  });
};
// A connection can be dead without an event: figures come every second.
setInterval(() => {
  if (live && performance.now() - heard > 5000) {
    lost();
    connect();
  }
}, 1000);
addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
`;
