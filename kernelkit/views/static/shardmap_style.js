// The shard map's own styles; what all pictures share stands in kit.js.

import { COLOURS } from "./kit.js";

export const STYLE = `
.kk-shards { display: flex; flex-direction: column; gap: 14px; }
.kk-shards-beside { flex-direction: row; gap: 24px; align-items: flex-start; }
.kk-shards-maps { display: flex; flex-wrap: wrap; gap: 12px 24px; }
.kk-shards-beside .kk-shards-maps, .kk-shards-beside .kk-shards-chosen-layer { flex-direction: column; }
.kk-shards-chosen-layer { display: flex; flex-direction: column; gap: 6px; }
.kk-shards-row .kk-shards-chosen-layer { flex-direction: row; gap: 24px; align-items: flex-start; }
.kk-shards-note {
  border: 1px solid var(--kk-line); border-radius: 8px; color: var(--kk-soft); font-size: 11px; font-weight: 400;
  margin-left: 8px; padding: 0 7px; white-space: nowrap;
}
.kk-shards-legend { display: flex; flex-wrap: wrap; gap: 4px 18px; width: 100%; }
.kk-shards-legend span { align-items: center; display: inline-flex; gap: 6px; }
.kk-shards-tracks rect { fill: var(--kk-panel); }
.kk-shards-rank { font-weight: 600; }
.kk-shards-matrices { stroke: var(--kk-paper); stroke-width: 1; opacity: 0.9; }
.kk-shards-layers { fill: none; stroke: var(--kk-panel); }
.kk-shards-break { fill: none; stroke: var(--kk-paper); stroke-width: 4; }
.kk-shards-bracket { fill: none; stroke: var(--kk-line); }
.kk-shards-chosen { stroke: var(--kk-ink); stroke-width: 2; }
.kk-view .kk-cell { cursor: pointer; fill: transparent; }
.kk-view .kk-cell:focus-visible { outline: 3px solid ${COLOURS.vermillion}; outline-offset: 2px; }
.kk-view svg text.kk-shards-on { paint-order: stroke; stroke: var(--kk-paper); stroke-width: 3.5px; stroke-linejoin: round; }
.kk-shards-way { fill: none; stroke: var(--kk-soft); stroke-width: 1.2; }
.kk-shards-way-of-drawing { color: var(--kk-soft); font-weight: 400; margin-left: 12px; white-space: nowrap; }
.kk-shards-name { font-weight: 600; }
.kk-segment { cursor: pointer; }
.kk-shards-slot { fill: transparent; }
.kk-segment:hover .kk-shards-slot { fill: var(--kk-panel); }
.kk-segment[tabindex="0"] .kk-shards-slot { fill: var(--kk-panel); stroke: var(--kk-line); }
.kk-shards-badge rect { fill: none; stroke: var(--kk-soft); }
.kk-shards-paper { fill: var(--kk-paper); }
.kk-shards-behind { fill: var(--kk-paper); stroke: var(--kk-soft); stroke-width: 0.8; }
.kk-shards-own { fill: none; stroke: var(--kk-ink); stroke-width: 1.5; }
.kk-shards-frame { fill: none; stroke-width: 1; }
.kk-shards-cut { fill: none; stroke: var(--kk-ink); stroke-width: 0.8; stroke-dasharray: 3 2; }
.kk-shards-thin { stroke: var(--kk-paper); stroke-width: 0.5; stroke-dasharray: none; }
.kk-shards-mark circle { fill: var(--kk-paper); stroke: ${COLOURS.vermillion}; stroke-width: 1.6; }
.kk-shards-detail { min-height: 205px; align-items: flex-start; display: flex; flex-wrap: wrap; gap: 8px 20px; }
.kk-shards-facts { flex: 1 1 260px; min-width: 0; }
.kk-shards-path { font-family: var(--jp-code-font-family, monospace); overflow-wrap: anywhere; margin-bottom: 4px; }
.kk-shards-facts dl { display: grid; gap: 1px 12px; grid-template-columns: max-content 1fr; margin: 0; }
.kk-shards-facts dt { color: var(--kk-soft); font-weight: 400; }
.kk-shards-facts dd { margin: 0; overflow-wrap: anywhere; }
`;
