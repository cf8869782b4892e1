/**
 * What will happen, by its time: the heart of a simulation in virtual time.
 *
 * @module
 */

/** Events by their time: a binary heap. */
export class Agenda<Event extends { readonly at: number }> {
  readonly #events: Event[] = [];

  /** Adds an event. */
  add(event: Event): void {
    const events = this.#events;
    let at = events.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (events[above]!.at <= event.at) break;
      events[at] = events[above]!;
      at = above;
    }
    events[at] = event;
  }

  /** Removes and returns the first one. */
  next(): Event | undefined {
    const events = this.#events;
    const first = events[0];
    const last = events.pop();
    if (last === undefined || last === first) return first;
    let at = 0;
    while (true) {
      let below = 2 * at + 1;
      if (below >= events.length) break;
      if (
        below + 1 < events.length && events[below + 1]!.at < events[below]!.at
      ) below++;
      if (events[below]!.at >= last.at) break;
      events[at] = events[below]!;
      at = below;
    }
    events[at] = last;
    return first;
  }
}
