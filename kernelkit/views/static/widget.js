// The anywidget: a picture whose scene the kernel may replace while it is shown.

import { html } from "./kit.js";
import { mount } from "./mount.js";

export default {
  render({ model, el }) {
    const place = html("div");
    el.append(place);
    const view = mount(place, { kind: model.get("kind"), scene: model.get("scene"), alt: model.get("alt") });
    const changed = () => view.update(model.get("scene"), model.get("alt"));
    model.on("change:scene", changed);
    return () => {
      model.off("change:scene", changed);
      view.destroy();
    };
  },
};
