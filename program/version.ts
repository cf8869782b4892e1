/**
 * The version of Sluice.
 *
 * @module
 */

/** Version of this module. */
export const VERSION = "0.1.0";
