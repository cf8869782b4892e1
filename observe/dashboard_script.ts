/**
 * The dashboard's script, as text: it runs in a browser only.
 *
 * Data is written with `textContent` and into attributes that the script
 * creates, never as HTML. A row is drawn only while it is on the screen, and
 * rows are made a few at a time, so a thousand of them are no problem. Its
 * parts are one closure: each may use the names of those before it.
 *
 * @module
 */

import { LIVE } from "./dashboard_live.ts";
import { MAP } from "./dashboard_map.ts";
import { NOW } from "./dashboard_now.ts";
import { ROWS } from "./dashboard_rows.ts";
import { WATER } from "./dashboard_water.ts";

/** The page's script; it must contain neither a backtick nor `</script`. */
export const SCRIPT: string = `
"use strict";
(() => {${ROWS}${NOW}${WATER}${MAP}${LIVE}requestAnimationFrame(flow);
connect();
})();
`;
