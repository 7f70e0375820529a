// How the overview, the magnified layer and the panel share the width. Pure.

const BESIDE = 1050; // from here on one map and its layer stand side by side
const GAP = 24;

/**
 * @returns widths in px: `map` of each overview, `layer` and `panel`; `layerHeight` to stay under; and `way`:
 *   "beside" (layer and panel at the map's right), "below" (under it), "row" (layer and panel in a row
 *   under the maps, of which `across` stand side by side).
 */
export function placesFor(maps, width) {
  if (maps === 1 && width >= BESIDE) {
    const map = Math.round(width * 0.52);
    const rest = width - map - GAP;
    return { way: "beside", across: 1, map, layer: rest, panel: rest - 22, layerHeight: 450 };
  }
  const across = maps > 1 && width >= 300 * maps ? Math.min(maps, Math.max(1, Math.floor(width / 430))) : 1;
  const map = Math.floor((width - (across - 1) * GAP) / across);
  if (width >= BESIDE) {
    const layer = Math.floor((width - GAP) * 0.52);
    return { way: "row", across, map, layer, panel: width - GAP - layer - 22, layerHeight: 430 };
  }
  return { way: "below", across, map, layer: width, panel: width - 22, layerHeight: 400 };
}
