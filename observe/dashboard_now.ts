/**
 * The dashboard's first panel: which backends have a problem, and which. Text of a
 * script; see `dashboard_script.ts`.
 *
 * A backend is slow or failing by comparison: its mean latency of the last ten
 * seconds against the median of the pool, and its share of errors.
 *
 * @module
 */

/** Part of the script: the verdict. */
export const NOW: string = String.raw`
// What is wrong now.
const SLOW_TIMES = 3, SLOW_MS = 30, FAILING = .05, FEW = 5, LISTED = 6;
const RANK = { down: 0, ejected: 1, failing: 2, slow: 3, draining: 4, resting: 5,
  up: 6 };
const proxy = { draining: false, certificateExpiresAt: null };
let limits = {};

const last10 = (list) => list.slice(-10);
const measure = (row) => {
  const rps = last10(row.rps), ms = last10(row.ms), bad = last10(row.bads);
  let asked = 0, timed = 0, waited = 0, failed = 0;
  for (let i = 0; i < rps.length; i++) {
    asked += rps[i];
    failed += bad[i] ?? 0;
    if (ms[i] === null || ms[i] === undefined) continue;
    timed += rps[i];
    waited += rps[i] * ms[i];
  }
  row.load = rps.length === 0 ? 0 : asked / rps.length;
  row.mean = timed >= FEW ? waited / timed : null;
  row.failed = asked >= FEW ? failed / asked : 0;
};
const judge = () => {
  const means = [];
  for (const row of rows.values()) {
    measure(row);
    if (row.mean !== null) means.push(row.mean);
  }
  means.sort((a, b) => a - b);
  const usual = means[(means.length - 1) >> 1] ?? 0;
  for (const row of rows.values()) {
    const { state } = row.backend;
    row.trouble = state === "down" || state === "ejected" ? state
      : row.failed >= FAILING ? "failing"
      : means.length > 1 && row.mean !== null && row.mean > SLOW_TIMES * usual &&
        row.mean > usual + SLOW_MS ? "slow"
      : "";
    row.usual = usual;
  }
};
const why = (row) => {
  const { backend } = row;
  switch (row.trouble) {
    case "failing":
      return Math.round(row.failed * 100) + " % of the last 10 s failed";
    case "slow":
      return time(row.mean) + " on average, median of the pool " +
        time(row.usual);
    default:
      return backend.reason ?? backend.probe?.error ?? "";
  }
};
const ago = (since) => {
  const s = Math.max(0, (Date.now() - Date.parse(since)) / 1000);
  return s < 90 ? Math.round(s) + " s" : s < 5400 ? Math.round(s / 60) + " min"
    : s < 129600 ? Math.round(s / 3600) + " h" : Math.round(s / 86400) + " d";
};
const are = (n, words) => n + (n === 1 ? " is " : " are ") + words;
const verdict = (counts) => {
  const size = rows.size;
  if (size === 0) return ["bad", "There is no backend: clients get 503"];
  const parts = ["down", "ejected", "failing", "slow"]
    .filter((name) => counts[name] > 0);
  const other = ["draining", "resting"].filter((name) => counts[name] > 0)
    .map((name) => are(counts[name], name));
  const up = counts.up ?? 0;
  if (parts.length === 0) {
    const all = up === size ? size === 1 ? "The backend is up"
      : "All " + size + " backends are up"
      : up + " of " + size + " backends up, " + other.join(", ");
    return [up > 0 ? "good" : "bad", up > 0 ? all : all + ": clients get 503"];
  }
  const [first, ...rest] = parts;
  const words = counts[first] + " of " + size +
    (size === 1 ? " backend" : " backends") +
    (counts[first] === 1 ? " is " : " are ") + first +
    rest.map((name) => ", " + are(counts[name], name)).join("");
  const none = counts.down + (counts.draining ?? 0) + (counts.resting ?? 0);
  if (none === size && counts.down > 0) {
    return ["bad", "No backend is up: clients get 503"];
  }
  return [counts.down || counts.failing ? "bad" : "warn", words];
};
const days = (at) => Math.floor((at - Date.now()) / 86400000);
const notices = () => {
  const list = [];
  if (proxy.draining) list.push(["warn", "This proxy is draining."]);
  const at = proxy.certificateExpiresAt;
  if (at !== null && at < Date.now()) {
    list.push(["bad", "The certificate has expired."]);
  } else if (at !== null && days(at) < 14) {
    list.push(["warn", "The certificate expires in " + days(at) +
      (days(at) === 1 ? " day." : " days.")]);
  }
  if (limits.overLimitPerSecond > 0) {
    list.push(["bad", "MAX_IN_FLIGHT refuses " +
      count(limits.overLimitPerSecond) + " requests/s: the limit is " +
      count(limits.inFlightLimit) + "."]);
  }
  if (limits.rateLimitedPerSecond > 0) {
    list.push(["warn", "RATE_LIMIT refuses " +
      count(limits.rateLimitedPerSecond) + " requests/s."]);
  }
  return list;
};
const fill = (list, items, write) => {
  while (list.children.length > items.length) list.lastChild.remove();
  while (list.children.length < items.length) list.append(make("li"));
  items.forEach((item, i) => write(list.children[i], item));
};
const problemItem = (item, row) => {
  if (item.firstChild === null) {
    const button = make("button", "goto");
    button.type = "button";
    button.addEventListener("click", () => show(item.row));
    item.append(make("span", "state"), button, make("span", "why"));
  }
  const [label, name, text] = item.children;
  item.row = row;
  put(label, row.trouble);
  label.className = "state " + row.trouble;
  put(name, called(row.backend));
  const { since, state } = row.backend;
  const long = since && state === row.trouble ? " for " + ago(since) : "";
  put(text, long + (why(row) ? (long ? ": " : "") + why(row) : ""));
};
const showNow = () => {
  judge();
  const counts = {}, troubled = [];
  for (const row of rows.values()) {
    const name = row.trouble || row.backend.state;
    counts[name] = (counts[name] ?? 0) + 1;
    if (row.trouble !== "") troubled.push(row);
  }
  for (const name of ["down", "failing"]) counts[name] ??= 0;
  const [look, words] = verdict(counts);
  put(at("verdict"), words);
  at("verdict").className = "verdict " + look;
  fill(at("notices"), notices(), (item, [kind, text]) => {
    put(item, text);
    item.className = kind;
  });
  troubled.sort((a, b) => RANK[a.trouble] - RANK[b.trouble] ||
    a.number - b.number);
  fill(at("problems"), troubled.slice(0, LISTED), problemItem);
  at("more").hidden = troubled.length <= LISTED;
  put(at("more"), "and " + (troubled.length - LISTED) +
    " more, at the top of the list below");
  summarize();
  if (chosen === "slow" || chosen === "failing") filterAll();
  const expiry = proxy.certificateExpiresAt, pill = at("certificate");
  pill.hidden = expiry === null;
  if (expiry !== null) {
    const left = days(expiry);
    put(pill, expiry < Date.now() ? "certificate: expired"
      : "certificate: " + (left < 1 ? "less than a day" : left + (left === 1 ? " day" : " days")) + " left");
    pill.title = new Date(expiry).toLocaleString();
    pill.className = left < 3 ? "bad" : left < 14 ? "warn" : "";
  }
};
// A click on a problem or a tile leads to its row.
const show = (row) => {
  if (row.element.hidden) {
    chosen = "all";
    at("find").value = "";
    summarize();
    filterAll();
  }
  row.element.scrollIntoView({ block: "center",
    behavior: calm.matches ? "auto" : "smooth" });
  row.element.classList.add("news");
  setTimeout(() => row.element.classList.remove("news"), 1200);
  row.element.tabIndex = -1;
  row.element.focus({ preventScroll: true });
};
`;
