/**
 * A straight line through measured points: does something grow?
 *
 * @module
 */

/** A line, and how far the points are from it. */
export interface Line {
  /** Growth for one unit of `x`. */
  slope: number;
  /** Value at `x = 0`. */
  start: number;
  /** Standard deviation of the points around the line. */
  spread: number;
}

/**
 * The line of least squares.
 *
 * @throws {RangeError} If fewer than three points are given.
 */
export function fitLine(points: readonly (readonly [number, number])[]): Line {
  const count = points.length;
  if (count < 3) throw new RangeError(`Cannot fit a line: ${count} points`);
  const mean = (which: 0 | 1) =>
    points.reduce((sum, point) => sum + point[which], 0) / count;
  const [x, y] = [mean(0), mean(1)];
  let [xx, xy] = [0, 0];
  for (const [px, py] of points) {
    xx += (px - x) ** 2;
    xy += (px - x) * (py - y);
  }
  const slope = xx === 0 ? 0 : xy / xx;
  const start = y - slope * x;
  const squares = points.reduce(
    (sum, [px, py]) => sum + (py - start - slope * px) ** 2,
    0,
  );
  return { slope, start, spread: Math.sqrt(squares / (count - 2)) };
}
