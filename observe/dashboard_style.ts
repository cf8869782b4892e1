/**
 * The dashboard's style: light and dark, from a wide screen to a phone.
 *
 * @module
 */

/** The page's style sheet. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f4f6f8; --panel: #ffffff; --line: #e3e8ee; --text: #16202b;
  --soft: #5b6877; --water: #1971c2; --foam: #0b9fb3; --shade: #1971c21f;
  --up: #157042; --up-back: #e3f5ea; --down: #c92a2a; --down-back: #fdeaea;
  --ejected: #a85b00; --ejected-back: #fff1dc; --draining: #1864ab;
  --draining-back: #e5f1fc; --resting: #5b6877; --resting-back: #edf0f3;
  --slow: #7048c6; --slow-back: #f0eafc; --failing: #c92a2a; --failing-back: #fdeaea;
  --shadow: 0 1px 2px #1b263410, 0 6px 20px -12px #1b263433;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1319; --panel: #141c25; --line: #24303d; --text: #e4ebf2;
    --soft: #94a3b3; --water: #4dabf7; --foam: #3bc9db; --shade: #4dabf726;
    --up: #51cf8a; --up-back: #12301f; --down: #ff8787; --down-back: #3a1719;
    --ejected: #ffb454; --ejected-back: #38270e; --draining: #74c0fc;
    --draining-back: #13293d; --resting: #94a3b3; --resting-back: #212b36;
    --slow: #c0a6ff; --slow-back: #2a2144; --failing: #ff8787; --failing-back: #3a1719;
    --shadow: 0 1px 2px #0006;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  -webkit-font-smoothing: antialiased;
}
h1, h2, p, ol, ul { margin: 0; padding: 0; }
ul { list-style: none; }
h1 { font-size: 1.25rem; letter-spacing: -0.01em; }
h2 { font-size: 1rem; }
button, input, select { font: inherit; color: inherit; }
:focus-visible { outline: 2px solid var(--water); outline-offset: 2px; }
.unseen {
  position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap;
}
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; z-index: 3; background: var(--panel); padding: .5rem 1rem; border-radius: 8px; }
header, main, footer { max-width: 84rem; margin: 0 auto; padding: 0 1.25rem; }
header { display: flex; align-items: center; gap: .7rem; padding-top: 1.1rem; padding-bottom: 1rem; }
.mark { width: 30px; height: 30px; fill: var(--water); }
.mark .gate { fill: var(--water); opacity: .55; }
.mark .water { fill: none; stroke: var(--foam); stroke-width: 2.2; stroke-linecap: round; }
.facts { display: flex; flex-wrap: wrap; gap: .4rem; color: var(--soft); font-size: .8rem; }
.facts span { border: 1px solid var(--line); border-radius: 99px; padding: .05rem .6rem; background: var(--panel); }
.facts .warn { color: var(--ejected); border-color: currentColor; font-weight: 600; }
.facts .bad { color: var(--down); border-color: currentColor; font-weight: 600; }
.live { margin-left: auto; white-space: nowrap; display: flex; align-items: center; gap: .45rem; font-size: .85rem; color: var(--soft); }
.live i { width: 9px; height: 9px; border-radius: 50%; background: var(--resting); }
.live.on { color: var(--up); }
.live.on i { background: var(--up); animation: beat 2s ease-out infinite; }
.live.lost { color: var(--down); font-weight: 600; }
.live.lost i { background: var(--down); }
@keyframes beat { from { box-shadow: 0 0 0 0 currentColor; } to { box-shadow: 0 0 0 8px transparent; } }
body.lost main { opacity: .6; }
main { display: grid; gap: 1rem; transition: opacity .3s; }
.panel, .card { background: var(--panel); border: 1px solid var(--line); border-radius: 14px; box-shadow: var(--shadow); min-width: 0; }
.now { display: grid; grid-template-columns: 3fr 2fr; gap: 1rem; }
.verdict { display: flex; align-items: center; gap: .7rem; padding: 1rem 1.1rem .9rem; font-size: 1.3rem; letter-spacing: -0.01em; }
.verdict::before { content: ""; flex: none; width: 14px; height: 14px; border-radius: 50%; background: var(--resting); }
.verdict.good::before { background: var(--up); }
.verdict.warn::before { background: none; border: 4px solid var(--ejected); }
.verdict.bad { color: var(--down); }
.verdict.bad::before { background: var(--down); border-radius: 2px; transform: rotate(45deg); }
.notices li { margin: 0 1.1rem .5rem; padding: .35rem .8rem; border-radius: 9px; font-size: .9rem; color: var(--ejected); background: var(--ejected-back); }
.notices li.bad { color: var(--down); background: var(--down-back); }
.problems { padding: 0 1.1rem; }
.problems li { display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem .7rem; padding: .35rem 0; border-top: 1px solid var(--line); font-size: .92rem; }
.problems li:last-child { margin-bottom: .7rem; }
.problems .why { color: var(--soft); overflow-wrap: anywhere; }
.goto { border: 0; background: none; padding: 0; font-weight: 600; cursor: pointer; text-align: left; overflow-wrap: anywhere; }
.goto:hover { text-decoration: underline; }
.cards { display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: 1rem; }
.card { position: relative; overflow: hidden; padding: .9rem 1.1rem 3.6rem; }
.card h2 { font-size: .8rem; font-weight: 600; color: var(--soft); }
.big { font-size: 1.15rem; line-height: 1.25; font-variant-numeric: tabular-nums; white-space: nowrap; }
.big b { font-size: 2rem; letter-spacing: -0.03em; font-weight: 650; }
.big small { font-size: .8rem; color: var(--soft); }
#latency small, #inflight small { display: block; min-height: 1.25em; }
#latency .note, #inflight .note { display: none; }
.note { font-size: .75rem; color: var(--soft); }
.card svg { position: absolute; inset: auto 0 0 0; width: 100%; height: 3.2rem; }
.area { fill: var(--shade); }
.line { fill: none; stroke: var(--water); stroke-width: 1.6; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
#errors .line { stroke: var(--down); }
#refused .line { stroke: var(--ejected); }
#refused .area { fill: color-mix(in srgb, var(--ejected) 14%, transparent); }
#errors .area { fill: color-mix(in srgb, var(--down) 14%, transparent); }
.flow { padding: 0; overflow: hidden; }
.flow canvas { display: block; width: 100%; }
.map { padding: 12px; }
.map canvas { display: block; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin-top: .5rem; line-height: 1.3rem; font-size: .75rem; color: var(--soft); }
.legend span { display: inline-flex; align-items: center; gap: .35rem; }
.key { width: 11px; height: 11px; border-radius: 3px; background: var(--water); opacity: .6; }
.key.slow { background: var(--slow); opacity: 1; }
.key.failing { background: linear-gradient(45deg, transparent 42%, var(--panel) 42% 58%, transparent 58%), linear-gradient(-45deg, var(--failing) 42%, var(--panel) 42% 58%, var(--failing) 58%); opacity: 1; }
.key.down { background: var(--down); border-radius: 1px; transform: rotate(45deg) scale(.85); opacity: 1; }
.key.ejected, .key.resting { background: none; border: 2.5px solid var(--ejected); border-radius: 50%; opacity: 1; }
.key.resting { border-color: var(--resting); }
.key.draining { background: var(--draining); clip-path: inset(50% 0 0 0); border-radius: 0 0 6px 6px; opacity: 1; }
.pointed { margin-top: .5rem; font-size: .85rem; line-height: 1.3rem; overflow-wrap: anywhere; }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1rem; padding: .9rem 1.1rem .7rem; }
.chips { display: flex; flex-wrap: wrap; gap: .35rem; }
.chips button, .act {
  border: 1px solid var(--line); background: transparent; border-radius: 99px;
  padding: .16rem .7rem; font-size: .8rem; cursor: pointer; color: var(--soft);
}
.chips button:hover, .act:hover:enabled { border-color: var(--water); color: var(--text); }
.chips [aria-pressed="true"] { background: var(--shade); border-color: var(--water); color: var(--text); }
.tools { margin-left: auto; display: flex; flex-wrap: wrap; gap: .5rem .9rem; align-items: center; font-size: .8rem; color: var(--soft); }
.tools select { border: 1px solid var(--line); border-radius: 99px; background: var(--page); color: var(--text); padding: .22rem .6rem; }
.find input { width: 11rem; color: var(--text); border: 1px solid var(--line); border-radius: 99px; background: var(--page); padding: .2rem .8rem; font-size: .85rem; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: .75rem; font-weight: 600; color: var(--soft); padding: .3rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { padding-left: 1.1rem; }
th:last-child, td:last-child { padding-right: 1.1rem; text-align: right; }
td { padding: .5rem .6rem; border-bottom: 1px solid var(--line); height: 3.1rem; }
.many td { height: 2.4rem; padding-top: .25rem; padding-bottom: .25rem; }
tbody tr:last-child td { border-bottom: 0; }
tbody tr { transition: background 1.5s; }
tbody tr.news { background: var(--shade); transition: none; }
td:first-child { min-width: 10rem; }
.url { font-weight: 600; overflow-wrap: anywhere; }
.tag { margin-left: .4rem; font-size: .7rem; font-weight: 500; color: var(--soft); border: 1px solid var(--line); border-radius: 5px; padding: 0 .3rem; }
.state { display: inline-flex; align-items: center; gap: .4rem; border-radius: 99px; padding: .1rem .65rem .1rem .5rem; font-size: .8rem; font-weight: 600; white-space: nowrap; color: var(--c); background: var(--b); }
.state::before { content: ""; width: 8px; height: 8px; border-radius: 50%; background: currentColor; }
td .state { margin-right: .35rem; }
.state.slow { --c: var(--slow); --b: var(--slow-back); }
.state.failing { --c: var(--failing); --b: var(--failing-back); }
.address, .reason { display: block; font-size: .75rem; color: var(--soft); overflow-wrap: anywhere; }
.address { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; max-width: 15rem; }
.reason { max-width: 16rem; margin-top: .15rem; }
.address:empty, .reason:empty, .failed:empty, .pointed:empty { display: none; }
.figure { display: flex; flex-direction: column; line-height: 1.25; }
.failed { color: var(--down); font-size: .75rem; font-weight: 600; white-space: nowrap; }
.noconns .conns { display: none; }
.conns { white-space: nowrap; font-size: .85rem; }
th.conns { font-size: .75rem; }
.state.up { --c: var(--up); --b: var(--up-back); }
.state.down { --c: var(--down); --b: var(--down-back); }
.state.down::before { border-radius: 1px; transform: rotate(45deg); }
.state.ejected { --c: var(--ejected); --b: var(--ejected-back); }
.state.ejected::before { background: none; border: 2px solid currentColor; }
.state.draining { --c: var(--draining); --b: var(--draining-back); }
.state.draining::before { clip-path: inset(50% 0 0 0); border-radius: 0 0 4px 4px; }
.state.resting { --c: var(--resting); --b: var(--resting-back); }
.weight { width: 4.4rem; border: 1px solid var(--line); border-radius: 8px; background: transparent; padding: .15rem .4rem; }
.weight:disabled { border-color: transparent; padding-left: 0; -moz-appearance: textfield; appearance: textfield; opacity: 1; }
.spark { display: flex; align-items: center; gap: .6rem; }
.spark svg { width: 7.5rem; height: 1.7rem; flex: none; border-bottom: 1px solid var(--line); }
.spark.slow .line { stroke: var(--foam); }
.spark.slow .area { fill: color-mix(in srgb, var(--foam) 14%, transparent); }
.spark output { min-width: 4.2rem; white-space: nowrap; }
.probes { display: flex; align-items: flex-end; gap: 2px; height: 1.5rem; }
.probes i { width: 3px; border-radius: 1px; background: var(--up); opacity: .85; height: 30%; }
.probes i.bad { background: var(--down); height: 100%; opacity: 1; }
.act:disabled { opacity: .45; cursor: not-allowed; }
.none { padding: .3rem 1.1rem 1.1rem; color: var(--soft); }
.log { list-style: none; padding: 0 1.1rem .9rem; max-height: 14rem; overflow: auto; }
.log:empty { display: none; }
.log li { display: grid; grid-template-columns: 4.6rem 6.6rem 1fr; gap: .3rem .8rem; padding: .3rem 0; border-top: 1px solid var(--line); font-size: .88rem; align-items: baseline; }
.log li:first-child { border-top: 0; }
.log time { color: var(--soft); font-variant-numeric: tabular-nums; }
.log span:last-child { overflow-wrap: anywhere; }
.log .why { color: var(--soft); }
footer { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; padding-top: 1rem; padding-bottom: 2rem; font-size: .85rem; }
footer a { color: var(--soft); }
.toast { position: fixed; left: 50%; bottom: 1.5rem; transform: translateX(-50%); background: var(--text); color: var(--page); padding: .6rem 1.1rem; border-radius: 10px; box-shadow: 0 8px 30px #0005; max-width: 90vw; z-index: 2; }
dialog { border: 1px solid var(--line); border-radius: 16px; background: var(--panel); color: var(--text); padding: 1.3rem 1.4rem; width: min(26rem, 92vw); box-shadow: 0 20px 60px #0007; }
dialog::backdrop { background: #0a121a99; backdrop-filter: blur(2px); }
dialog p { color: var(--soft); margin: .4rem 0 1rem; font-size: .9rem; }
dialog p.wrong { color: var(--down); }
dialog label { font-size: .85rem; font-weight: 600; }
dialog input { display: block; width: 100%; margin-top: .3rem; padding: .5rem .7rem; border: 1px solid var(--line); border-radius: 9px; background: var(--page); }
.buttons { display: flex; justify-content: flex-end; gap: .6rem; margin-top: 1.1rem; }
.buttons button { border: 1px solid var(--line); background: transparent; border-radius: 9px; padding: .4rem 1rem; cursor: pointer; }
.buttons .main { background: var(--water); border-color: var(--water); color: #fff; font-weight: 600; }
@media (prefers-color-scheme: dark) { .buttons .main { color: #06121d; } }
@media (max-width: 84rem) {
  .spark svg { width: 4.5rem; }
  .weight { width: 3.6rem; }
}
@media (max-width: 74rem) {
  th, td { padding-left: .4rem; padding-right: .4rem; }
  tbody .spark svg { display: none; }
  .probes { max-width: 6rem; overflow: hidden; justify-content: flex-end; }
  .cards { gap: .7rem; }
  .card { padding-left: .8rem; padding-right: .8rem; }
  .big b { font-size: 1.7rem; }
}
@media (max-width: 62rem) {
  header, main, footer { padding-left: .8rem; padding-right: .8rem; }
  header { flex-wrap: wrap; }
  .facts { order: 1; width: 100%; }
  .now { grid-template-columns: 1fr; }
  .verdict { font-size: 1.1rem; }
  .cards { grid-template-columns: 1fr 1fr; gap: .7rem; }
  #refused { grid-column: 1 / -1; }
  .card { padding: .7rem .9rem 3rem; }
  .card svg { height: 2.6rem; }
  .big b { font-size: 1.5rem; }
  .probes { max-width: none; justify-content: flex-start; }
  tbody .spark svg { display: block; }
  .tools { width: 100%; margin: 0; }
  .find { flex: 1; }
  .find input { width: 100%; }
  .tools select, .find input, .chips button, .act { min-height: 2.1rem; }
  /* Each backend is a separate card; the roles keep it a table. */
  table, thead, tbody, tr, td { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem .8rem; padding: .9rem; border-top: 1px solid var(--line); }
  td, td:first-child, td:last-child { padding: 0; border: 0; height: auto; text-align: left; }
  td::before { content: attr(data-name); display: block; font-size: .7rem; color: var(--soft); }
  td:first-child, td:nth-child(8) { grid-column: 1 / -1; }
  td:first-child::before, td:nth-child(2)::before, td:last-child::before { content: none; }
  td:nth-child(2) { align-self: center; }
  td:last-child { grid-row: 2; grid-column: 2; justify-self: end; align-self: center; }
  .log li { grid-template-columns: 4.6rem 1fr; }
  .log span:last-child { grid-column: 1 / -1; }
}
@media (prefers-reduced-motion: reduce) { * { animation: none !important; transition: none !important; } }
@media (forced-colors: active) { .state, .probes i { border: 1px solid; } }
`;
