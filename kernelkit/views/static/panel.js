// The cluster panel: its topology while cells run, at the side of the notebook, with buttons that work then.
//
// It is drawn when its model comes to be, not when an output shows it: the notebook keeps no trace of it.
// A cell that runs keeps the kernel from reading what the page sends. So the buttons speak over a comm of
// their own, which JupyterLab puts on a subshell: a second thread of the kernel, which is free.

import { COLOURS, dress, html } from "./kit.js";
import { mount } from "./mount.js";

const TARGET = "kernelkit.panel";
// A page's front end may have no such comms; then the panel says that its buttons wait.
const OPEN_MS = 5000;

export default {
  initialize({ model }) {
    return open(model);
  },
};

function open(model) {
  const node = html("div", { class: "kk-panel", dataset: { panel: model.get("name") } });
  dress(node);
  node.style.padding = "8px 12px";
  const state = html("span", { class: "kk-state", role: "status" });
  const said = html("div", { class: "kk-said", role: "log", "aria-live": "polite", style: SAID });
  const buttons = ["stop", "recover"].map((action) =>
    html("button", { class: `kk-${action}`, title: TITLES[action], onclick: () => press(action) }, LABELS[action]),
  );
  const picture = html("div");
  node.append(html("div", { class: "kk-bar", style: BAR }, state, ...buttons), said, picture);

  let line = null;
  let busy = false;
  let lastState = model.get("state");
  const told = ({ text, done }) => {
    busy = !done;
    say(text);
  };
  const press = async (action) => {
    busy = true;
    say(`${LABELS[action]} …`);
    try {
      line = line ?? (await connect(model, told));
      line.send({ action });
    } catch (error) {
      busy = false;
      line = null;
      say(`${LABELS[action]} did not reach the kernel: ${error.message}`);
    }
  };
  const say = (text) => {
    said.textContent = text;
  };

  const view = mount(picture, { kind: "topology", scene: model.get("scene"), alt: model.get("alt") });
  const show = () => {
    state.textContent = model.get("state");
    state.style.borderColor = colourOf(model.get("state"));
    view.update(model.get("scene"), model.get("alt"));
    if (model.get("state") !== lastState) {
      lastState = model.get("state");
      if (!busy) {
        say(""); // what was said was of another state
      }
    }
  };
  model.on("change:scene", show);
  model.on("change:state", show);
  // The kernel restarted or died: what is shown is not so any more.
  const gone = () => close();
  model.on("comm_live_update", gone);

  let isOpen = true;
  const close = () => {
    if (isOpen) {
      isOpen = false;
      model.off("change:scene", show);
      model.off("change:state", show);
      model.off("comm_live_update", gone);
      line?.close();
      view.destroy();
      undock();
    }
  };
  // Closed by its user: the kernel need not draw it any more.
  const closed = () => {
    close();
    model.set("is_open", false);
    model.save_changes();
  };
  const undock = (globalThis.kernelkitDock ?? float)(node, "cluster", () => isOpen && closed());
  show();
  return close;
}

const LABELS = { stop: "Stop", recover: "Recover" };
const TITLES = {
  stop: "End the running cell on all ranks, as the notebook's stop button does",
  recover: "New ranks with the old ones' variables and model, for a cluster that failed or hangs",
};
const BAR = { display: "flex", gap: "8px", "align-items": "center", "margin-bottom": "6px" };

// What is said may be a table.
const SAID = { "font-family": "var(--jp-code-font-family, monospace)", "overflow-x": "auto", "white-space": "pre" };

function colourOf(state) {
  if (state.startsWith("failed")) {
    return COLOURS.vermillion;
  }
  return state === "running" ? COLOURS.blue : COLOURS.green;
}

/** A comm on a subshell of the kernel; fails where the front end or the kernel has none. */
async function connect(model, told) {
  const kernel = model.widget_manager?.kernel;
  if (!kernel?.createComm) {
    throw new Error("this front end gives no way beside a running cell; use its own stop button");
  }
  const comm = kernel.createComm(TARGET);
  await Promise.race([comm.subshellStarted, late()]);
  comm.onMsg = (message) => told(message.content.data);
  comm.open({ panel: model.get("name") });
  return comm;
}

function late() {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error("the kernel opened no subshell")), OPEN_MS);
  });
}

/** Where there is no place at the side: a window of its own over the page, with a button that closes it. */
function float(node, title, onClose) {
  const bar = html("div", { style: BAR }, html("strong", {}, title), html("button", { onclick: onClose }, "Close"));
  const frame = html("div", { class: "kk-view kk-float", style: FLOAT }, bar, node);
  document.body.append(frame);
  return () => frame.remove();
}

const FLOAT = {
  background: "var(--kk-paper)",
  border: "1px solid var(--kk-line)",
  bottom: "16px",
  "max-height": "80vh",
  overflow: "auto",
  padding: "8px",
  position: "fixed",
  resize: "both",
  right: "16px",
  width: "min(640px, 60vw)",
  "z-index": "1000",
};
