// What every picture is built from: elements, theme, units, and a watch on the width that there is.

/** Okabe and Ito's palette: told apart by people with any colour vision, and by projectors. */
export const COLOURS = {
  blue: "#0072B2",
  orange: "#E69F00",
  green: "#009E73",
  vermillion: "#D55E00",
  purple: "#CC79A7",
  sky: "#56B4E9",
  yellow: "#F0E442",
  grey: "#999999",
};

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element; attributes as in `html`. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * An HTML element.
 *
 * @param attributes `class`, `style` (an object), `dataset` (an object), `onclick` and other handlers, anything else
 *   as an attribute; null and undefined are left out.
 * @param children nodes, or text; null is left out.
 */
export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    set(element, name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set one attribute by the rules of `html`; null takes it away. */
export function set(element, name, value) {
  if (name === "style" && typeof value === "object") {
    for (const [key, part] of Object.entries(value)) {
      element.style.setProperty(key, part);
    }
  } else if (name === "dataset") {
    Object.assign(element.dataset, value);
  } else if (name.startsWith("on")) {
    element[name] = value;
  } else if (value === null || value === undefined) {
    element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, String(value));
  }
}

/** Make a click handler work from the keyboard as well: Enter and Space do what a click does. */
export function pressable(element, action) {
  element.setAttribute("tabindex", element.getAttribute("tabindex") ?? "0");
  element.onclick = action;
  element.onkeydown = (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      event.stopPropagation(); // the notebook has its own meaning for both
      action(event);
    }
  };
  return element;
}

/** Call `draw(width)` now and whenever the width inside the element changes; gives a function that ends it. */
export function onWidth(element, draw) {
  let last = 0;
  const look = () => {
    const { paddingLeft, paddingRight } = getComputedStyle(element);
    const width = element.clientWidth - (parseFloat(paddingLeft) || 0) - (parseFloat(paddingRight) || 0);
    if (width > 0 && width !== last) {
      last = width;
      draw(width);
    }
  };
  const observer = new ResizeObserver(look);
  observer.observe(element);
  look();
  return () => observer.disconnect();
}

/** Give an element the theme: colours that follow the notebook's, and the styles that pictures share. */
export function dress(element) {
  element.classList.add("kk-view");
  const root = element.getRootNode();
  const home = root === document || !root.host ? document.head : root;
  if (!home.querySelector("style[data-kernelkit]")) {
    home.append(html("style", { "data-kernelkit": "" }, STYLE));
  }
}

const STYLE = `
.kk-view {
  --kk-ink: var(--jp-ui-font-color1, #222);
  --kk-soft: var(--jp-ui-font-color2, #666);
  --kk-paper: var(--jp-layout-color1, #fff);
  --kk-panel: var(--jp-layout-color2, #f3f3f3);
  --kk-line: var(--jp-border-color1, #bbb);
  color: var(--kk-ink);
  font: 12px/1.4 var(--jp-ui-font-family, system-ui, sans-serif);
  padding: 4px;
  position: relative;
}
@media (prefers-color-scheme: dark) {
  .kk-view {
    --kk-ink: var(--jp-ui-font-color1, #eee);
    --kk-soft: var(--jp-ui-font-color2, #aaa);
    --kk-paper: var(--jp-layout-color1, #111);
    --kk-panel: var(--jp-layout-color2, #222);
    --kk-line: var(--jp-border-color1, #555);
  }
}
.kk-view svg { display: block; max-width: 100%; }
.kk-view svg text { fill: var(--kk-ink); font-family: inherit; }
.kk-view svg text.kk-soft, .kk-view .kk-soft { fill: var(--kk-soft); color: var(--kk-soft); }
.kk-view [tabindex]:focus { outline: none; }
.kk-view [tabindex]:focus-visible { outline: 2px solid ${COLOURS.blue}; outline-offset: 1px; }
.kk-view .kk-title { font-weight: 600; margin: 0 0 4px; }
.kk-view .kk-detail {
  background: var(--kk-panel); border: 1px solid var(--kk-line); border-radius: 4px;
  margin-top: 6px; padding: 6px 10px;
}
.kk-view .kk-detail:empty { display: none; }
.kk-view table { border-collapse: collapse; font-size: 12px; }
.kk-view th, .kk-view td { padding: 1px 10px 1px 0; text-align: left; background: none; }
.kk-view button, .kk-view select {
  background: var(--kk-panel); border: 1px solid var(--kk-line); border-radius: 4px;
  color: var(--kk-ink); cursor: pointer; font: inherit; padding: 2px 8px;
}
.kk-view button[aria-pressed="true"] { border-color: ${COLOURS.blue}; box-shadow: inset 0 -2px 0 ${COLOURS.blue}; }
.kk-view button:disabled { cursor: default; opacity: 0.5; }
`;

/** `28672 -> "28,672"`, of a whole number. `toLocaleString` takes as long for its first call as a picture. */
export function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Three significant digits, in full from 1,000 on, and no exponent. */
function threeDigits(value) {
  if (Math.abs(value) >= 999.5) {
    return grouped(Math.round(value));
  }
  return String(Number(value.toPrecision(3)));
}

/** `1536 -> "1.54 KB"`, in powers of 1,000, as `kernelkit.units.format_bytes`. */
export function formatBytes(size) {
  if (Math.abs(size) < 1000) {
    return `${Math.round(size)} B`;
  }
  let left = size;
  for (const unit of ["KB", "MB", "GB"]) {
    left /= 1000;
    if (Math.abs(left) < 999.5) {
      return `${threeDigits(left)} ${unit}`;
    }
  }
  return `${threeDigits(left / 1000)} TB`;
}

/** `0.00215 -> "2.15 ms"`, as `kernelkit.units.format_seconds`. */
export function formatSeconds(time) {
  if (time >= 60) {
    const minutes = Math.floor(time / 60);
    const seconds = Math.floor(time) % 60;
    return seconds ? `${minutes} min ${seconds} s` : `${minutes} min`;
  }
  if (time >= 0.9995) {
    return `${threeDigits(time)} s`;
  }
  return time >= 0.9995e-3 ? `${threeDigits(time * 1e3)} ms` : `${threeDigits(time * 1e6)} µs`;
}

/** `(52.31, "tokens") -> "52.3 tokens/s"`. */
export function formatRate(perSecond, unit) {
  return `${threeDigits(perSecond)} ${unit}/s`;
}
