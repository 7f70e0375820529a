// A sequential scale of colours that needs no colour vision; what it is and why: kernelkit/views/ramp.py.

/** The colour at `shade`, 0 (dark) to 1 (bright). */
export function ramp(shade) {
  const at = Math.min(1, Math.max(0, shade));
  const hue = ((280 - 175 * at) * Math.PI) / 180;
  const chroma = 0.088 + 0.06 * (2 * at - 1) ** 2;
  const [lightness, a, b] = [0.3 + 0.62 * at, chroma * Math.cos(hue), chroma * Math.sin(hue)];
  const long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const short = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return `#${[
    4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
    -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
    -0.0041960863 * long - 0.7034186147 * medium + 1.707614701 * short,
  ]
    .map(channel)
    .join("")}`;
}

function channel(linear) {
  const value = Math.min(1, Math.max(0, linear));
  const encoded = value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055;
  return Math.round(255 * encoded)
    .toString(16)
    .padStart(2, "0");
}

/** Black or white, whichever is the better read on a cell's colour, whatever the theme. */
export function inkOn(colour) {
  const own = luminance(colour) + 0.05;
  return own / 0.05 >= 1.05 / own ? "#000000" : "#ffffff";
}

function luminance(colour) {
  const [red, green, blue] = [1, 3, 5].map((i) => {
    const value = parseInt(colour.slice(i, i + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
