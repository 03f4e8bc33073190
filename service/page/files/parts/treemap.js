// Rectangles whose areas are values, as square as may be (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000).

/**
 * Lay out values in a rectangle.
 *
 * @param values positive, the largest first.
 * @param width, height of the rectangle.
 * @returns for each value { x, y, width, height }.
 */
export function squarify(values, width, height) {
  const total = values.reduce((sum, value) => sum + value, 0);
  const areas = values.map((value) => (value * width * height) / total);
  const places = [];
  let [x, y] = [0, 0];
  let start = 0;
  while (start < areas.length) {
    const side = Math.min(width, height);
    let end = start;
    let sum = 0;
    let worst = Infinity;
    // A row takes areas as long as its worst rectangle becomes no worse.
    while (end < areas.length) {
      const more = sum + areas[end];
      const ratio = Math.max((side * side * areas[start]) / (more * more), (more * more) / (side * side * areas[end]));
      if (ratio > worst) break;
      worst = ratio;
      sum = more;
      end++;
    }
    const thickness = sum / side;
    let along = 0;
    for (let i = start; i < end; i++) {
      const length = areas[i] / thickness;
      places.push(width >= height
        ? { x, y: y + along, width: thickness, height: length }
        : { x: x + along, y, width: length, height: thickness });
      along += length;
    }
    if (width >= height) [x, width] = [x + thickness, width - thickness];
    else [y, height] = [y + thickness, height - thickness];
    start = end;
  }
  return places;
}
