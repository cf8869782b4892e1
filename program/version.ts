/**
 * The version of Sluice.
 *
 * @module
 */

/** Version of this module. */
export const VERSION = "0.2.0";
