/**
 * The dashboard: one page in one string, which loads nothing else.
 *
 * The page contains no data when it is sent. Its script reads `/backends` and
 * `/events` and writes them as text, never as HTML, so a backend's name cannot
 * become a script. In addition, the Content-Security-Policy allows only what
 * carries this response's nonce.
 *
 * @module
 */

import { SCRIPT } from "./dashboard_script.ts";
import { STYLE } from "./dashboard_style.ts";

/** What the page is made from. */
export interface DashboardOptions {
  /** Version of this program. */
  version: string;
  /** Name of the policy. */
  policy: string;
  /** What requests are sent by. */
  transport: string;
  /** Attribute of style and script that the policy requires. */
  nonce: string;
  /** Whether changes are possible. */
  changes: boolean;
}

/** A gate with the water behind it: the mark, and the tab's icon. */
const MARK =
  '<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect x="3" y="4" width="3" height="25" rx="1.5"/><rect x="26" y="4" width="3" height="25" rx="1.5"/><rect x="3" y="4" width="26" height="3" rx="1.5"/><rect class="gate" x="9" y="9" width="14" height="8" rx="1.5"/><path class="water" d="M8 22q2-2.4 4 0t4 0 4 0 4 0M8 27q2-2.4 4 0t4 0 4 0 4 0"/></svg>';

const ICON = "data:image/svg+xml," + encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><g fill="#1c7ed6"><rect x="3" y="4" width="3" height="25" rx="1.5"/><rect x="26" y="4" width="3" height="25" rx="1.5"/><rect x="3" y="4" width="26" height="3" rx="1.5"/><rect x="9" y="9" width="14" height="8" rx="1.5"/></g><path fill="none" stroke="#22b8cf" stroke-width="2.4" stroke-linecap="round" d="M8 22q2-2.4 4 0t4 0 4 0 4 0M8 27q2-2.4 4 0t4 0 4 0 4 0"/></svg>',
);

/** Where the backends are listed. */
const TABLE = `  <table role="table" aria-labelledby="backends">
    <thead role="rowgroup"><tr role="row">
      <th role="columnheader" scope="col">Backend</th>
      <th role="columnheader" scope="col">State</th>
      <th role="columnheader" scope="col">Weight</th>
      <th role="columnheader" scope="col">Requests/s</th>
      <th role="columnheader" scope="col">Latency</th>
      <th role="columnheader" scope="col">In flight</th>
      <th role="columnheader" scope="col" class="conns">Connections</th>
      <th role="columnheader" scope="col">Probes</th>
      <th role="columnheader" scope="col"><span class="unseen">Change</span></th>
    </tr></thead>
    <tbody id="rows" role="rowgroup"></tbody>
  </table>
`;

/** What is wrong now, and what has changed. */
const NOW = `<div class="now">
<section class="panel" aria-labelledby="verdict">
  <h2 id="verdict" class="verdict">…</h2>
  <ul id="notices" class="notices"></ul>
  <ul id="problems" class="problems"></ul>
  <p id="more" class="none" hidden></p>
</section>
<section class="panel" aria-labelledby="changes">
  <div class="bar"><h2 id="changes">Recent changes</h2></div>
  <ol id="log" class="log" tabindex="0" aria-labelledby="changes"></ol>
  <p id="quiet" class="none">No changes since this proxy started.</p>
</section>
</div>
`;

/** How the list is searched and sorted. */
const TOOLS = `  <div class="bar">
    <h2 id="backends" tabindex="-1">Backends</h2>
    <div id="chips" class="chips" role="group" aria-label="Filter by state"></div>
    <div class="tools">
    <label>Sort <select id="sort">
      <option value="problems">problems first</option>
      <option value="slowest">slowest first</option>
      <option value="busiest">busiest first</option>
      <option value="listed">as configured</option>
    </select></label>
    <label class="find"><span class="unseen">Find a backend</span><input id="find" type="search" placeholder="Find a backend" autocomplete="off" spellcheck="false"></label>
    </div>
  </div>
`;

/** Requests the token. */
const DIALOG = `<dialog id="ask" aria-labelledby="asked">
  <form id="form">
    <h2 id="asked">Changes need a token</h2>
    <p id="why">Enter the value of ADMIN_TOKEN. It is kept until you close this tab.</p>
    <label>Token <input id="token" type="password" required autocomplete="off"></label>
    <div class="buttons"><button type="button" id="cancel">Cancel</button><button type="submit" class="main">Continue</button></div>
  </form>
</dialog>
`;

/** Writes the page. */
export function dashboard(
  { version, policy, transport, nonce, changes }: DashboardOptions,
): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Sluice</title>
<link rel="icon" href="${ICON}">
<style nonce="${nonce}">${STYLE}</style>
</head>
<body data-changes="${changes}">
<a class="skip" href="#backends">Skip to the backends</a>
<header>
  ${MARK}
  <h1>Sluice</h1>
  <p class="facts"><span>version ${escaped(version)}</span><span>${
    escaped(policy)
  }</span><span>transport: ${
    escaped(transport)
  }</span><span id="certificate" hidden></span></p>
  <p id="live" class="live" role="status"><i aria-hidden="true"></i><span>connecting</span></p>
</header>
<main>
${NOW}<section class="cards" aria-label="All requests">
  ${card("rps", "Requests", "per second")}
  ${card("latency", "Latency", "median of the last 10 s")}
  ${card("inflight", "In flight", "right now")}
  ${card("errors", "Errors", "status 500 and above")}
  ${card("refused", "Refused", "RATE_LIMIT, MAX_IN_FLIGHT")}
</section>
<section id="flow" class="panel flow" aria-hidden="true"><canvas></canvas></section>
<section id="map" class="panel map" aria-hidden="true" hidden><canvas></canvas><p class="legend" id="legend"></p><p class="pointed" id="pointed"></p></section>
<section class="panel" aria-labelledby="backends">
${TOOLS}${TABLE}  <p id="none" class="none" hidden>No backend matches.</p>
</section>
</main>
<footer><a href="/metrics">metrics</a><a href="/backends">backends as JSON</a><a href="/readyz">readiness</a></footer>
<p id="said" class="unseen" role="status" aria-live="polite"></p>
<p id="toast" class="toast" role="alert" hidden></p>
${DIALOG}<noscript><p class="none">This page needs JavaScript; /backends and /metrics do not.</p></noscript>
<script nonce="${nonce}">${SCRIPT}</script>
</body>
</html>
`;
}

function card(id: string, title: string, note: string): string {
  return `<article class="card" id="${id}"><h2>${title}</h2><p class="big"><b>–</b> <small></small></p><p class="note">${note}</p><svg viewBox="0 0 59 30" preserveAspectRatio="none" aria-hidden="true"><path class="area"/><path class="line"/></svg></article>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
