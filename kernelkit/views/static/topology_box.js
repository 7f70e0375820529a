// Boxes and segments: what meets what.

/** Whether two boxes are nearer than `gap`. */
export function meets(one, two, gap = 0) {
  return (
    one.x < two.x + two.w + gap &&
    two.x < one.x + one.w + gap &&
    one.y < two.y + two.h + gap &&
    two.y < one.y + one.h + gap
  );
}

/** Whether a segment meets the rectangle `[left, top, right, bottom]`. */
export function crosses(a, b, [left, top, right, bottom]) {
  // Most are far away, and labels ask this very often.
  if (Math.max(a.x, b.x) < left || Math.min(a.x, b.x) > right || Math.max(a.y, b.y) < top || Math.min(a.y, b.y) > bottom) {
    return false;
  }
  // It does unless all four corners lie on one side of its line.
  const side = (x, y) => (b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x);
  const corners = [side(left, top), side(right, top), side(left, bottom), side(right, bottom)];
  return !(corners.every((one) => one > 0) || corners.every((one) => one < 0));
}
