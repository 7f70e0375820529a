// How wide text is and how much of it fits: pure, so that layouts can be tested without a page.

const NARROW = /[iljtfrI.,:;'!|()[\] ·-]/u;
const WIDE = /[mwMW%@→←↔…]/u;

/** A width that no common sans-serif font exceeds, in px; a page measures with its real font instead. */
export function estimate(text, size, bold = false) {
  let ems = 0;
  for (const letter of text) {
    ems += NARROW.test(letter) ? 0.42 : WIDE.test(letter) || letter > "\u024f" ? 1.03 : 0.68;
  }
  return ems * size * (bold ? 1.1 : 1);
}

/** The text, or as much of its beginning as fits into `room` px with an ellipsis; empty if not even that does. */
export function fit(text, room, size, bold = false, measure = estimate) {
  if (measure(text, size, bold) <= room) {
    return text;
  }
  const letters = [...text];
  let fits = -1;
  for (let low = 0, high = letters.length - 1; low <= high; ) {
    const middle = (low + high) >> 1;
    if (measure(`${cut(letters, middle)}…`, size, bold) <= room) {
      fits = middle;
      low = middle + 1;
    } else {
      high = middle - 1;
    }
  }
  return fits < 0 ? "" : `${cut(letters, fits)}…`;
}

/** A host's name that fits: without its domain, then without its middle, since names differ at their ends. */
export function fitName(name, room, size, bold, measure = estimate) {
  const fits = (text) => measure(text, size, bold) <= room;
  if (fits(name)) {
    return name;
  }
  const first = name.split(".")[0];
  const own = first && !/^\d+$/.test(first) ? first : name;
  if (own !== name && fits(`${own}…`)) {
    return `${own}…`;
  }
  const letters = [...own];
  for (let kept = letters.length - 1; kept >= 0; kept -= 1) {
    const tail = Math.floor(kept / 2);
    const text = `${letters.slice(0, kept - tail).join("")}…${letters.slice(letters.length - tail).join("")}`;
    if (fits(text)) {
      return text;
    }
  }
  return "";
}

function cut(letters, count) {
  return letters.slice(0, count).join("").trimEnd();
}
