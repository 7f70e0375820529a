// How much room text takes, reckoned without a page, so that labels can be placed before they are drawn. Pure.

export const FONT = 11;
export const LINE = 14;
const [THIN, WIDE, DIGITS] = [" \u00a0.,:;|il'()·-", "mwMW×→%", "0123456789"];

/** About how wide a text is, in px, never too little for a common sans-serif. */
export function textWidth(text, size = FONT) {
  let ems = 0;
  for (const letter of text) {
    ems += THIN.includes(letter) ? 0.36 : WIDE.includes(letter) ? 0.95 : DIGITS.includes(letter) ? 0.64 : 0.6;
  }
  return ems * size;
}

/**
 * The text in as few lines of at most `width` px as greed gives, then evened out; a longer word keeps a line.
 *
 * Numbers stay with what they count, "heads 6–11", as long as there is room for that.
 */
export function wrapped(text, width, size = FONT) {
  const kept = text.replace(/(\b(?:heads?|layers?|of)|\+) /g, "$1\u00a0");
  const fits = kept.split(" ").every((word) => textWidth(word, size) <= width);
  const words = (fits ? kept : text).split(" ").filter(Boolean);
  const count = greedy(words, width, size).length;
  const tries = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1].map((part) => greedy(words, width * part, size));
  return tries.find((lines) => lines.length === count) ?? [];
}

function greedy(words, width, size) {
  const lines = [];
  for (const word of words) {
    const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word;
    if (lines.length && textWidth(longer, size) <= width) {
      lines[lines.length - 1] = longer;
    } else {
      lines.push(word);
    }
  }
  return lines;
}

/** The text, cut short with an ellipsis where it is wider than `width` px. */
export function fitted(text, width, size = FONT) {
  let short = text;
  while (short.length > 1 && textWidth(short, size) > width) {
    short = `${short.replace(/…$/, "").slice(0, -1).trimEnd()}…`;
  }
  return short;
}
