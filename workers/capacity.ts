/**
 * How many backends several workers can have in common.
 *
 * @module
 */

/**
 * Places of the table. There is one for each backend of the pool, and for a
 * moment for those of its next list too, since they come before the others go.
 * A backend that is removed gives its place back, but to the end of the queue: it
 * may still be finishing requests.
 */
export const PLACES = 16_384;

/** Backends that the pool of several workers can hold. */
export const MAX_SHARED: number = PLACES - 1;
