// How fast something grows.

/** Of the straight line through the points that fits best, per unit of `x`; 0 for fewer than two. */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): number {
  if (points.length < 2) return 0;
  const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const middle = meanOf(points.map(([x]) => x));
  const level = meanOf(points.map(([, y]) => y));
  const across = points.reduce((sum, [x]) => sum + (x - middle) ** 2, 0);
  return across === 0 ? 0 : points.reduce((sum, [x, y]) => sum + (x - middle) * (y - level), 0) / across;
}
