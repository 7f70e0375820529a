// Draw any kind of picture into an element: the one door for the widget and for the JupyterLab extension.

import { dress } from "./kit.js";
import { draw as generation } from "./generation.js";
import { draw as links } from "./links.js";
import { draw as memory } from "./memory.js";
import { draw as shardmap } from "./shardmap.js";
import { draw as topology } from "./topology.js";

const KINDS = { generation, links, memory, shardmap, topology };

/**
 * @param element an empty element that is, or soon will be, part of the page.
 * @param view `{kind, scene, alt}` as `kernelkit.views.Picture` makes it.
 * @returns `{update(scene, alt), destroy()}`.
 * @throws for a kind that is not known, or a scene that is not of its kind.
 */
export function mount(element, view) {
  const draw = KINDS[view.kind];
  if (!draw) {
    throw new Error(`no picture of the kind "${view.kind}" (known: ${Object.keys(KINDS).join(", ")})`);
  }
  dress(element);
  element.dataset.kind = view.kind;
  return draw(element, view.scene, { alt: view.alt });
}
