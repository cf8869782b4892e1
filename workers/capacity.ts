/**
 * How many backends workers can share.
 *
 * @module
 */

/**
 * Places of the shared table: one per backend of the pool, and for a moment one
 * per backend of its next list too, which are added before the others are
 * removed. A removed backend's place goes to the end of the queue of free
 * places, since its requests may still be in flight.
 */
export const PLACES = 16_384;

/** Maximum backends of a pool with workers. */
export const MAX_SHARED: number = PLACES - 1;
