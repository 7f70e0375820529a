// What the geometry of several pictures needs. No DOM here.

/** At most `most` characters: the middle goes, since names of hosts differ at their ends. */
export function shorten(text, most) {
  if (text.length <= most) {
    return text;
  }
  const tail = Math.floor((most - 1) / 2);
  return `${text.slice(0, most - 1 - tail)}…${text.slice(text.length - tail)}`;
}

/** Diagonal lines that fill a box, as the path of an SVG. */
export function hatch({ x, y, width, height }, every = 7) {
  const lines = [];
  for (let at = every / 2; at < width + height; at += every) {
    const [x1, y1] = [Math.max(0, at - height), Math.min(height, at)];
    const [x2, y2] = [Math.min(width, at), Math.max(0, at - width)];
    lines.push(`M${x + x1} ${y + y1}L${x + x2} ${y + y2}`);
  }
  return lines.join("");
}
