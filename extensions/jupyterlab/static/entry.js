// What JupyterLab loads: two plugins in the form that its loader of federated extensions asks for.
// Written by hand so that there is no build: the pictures are plain modules in `views/` beside this file.

(() => {
  const views = new URL("./views/", document.currentScript.src);
  const MIME = "application/vnd.kernelkit.view.v1+json";
  let shared = {};

  /** A library that JupyterLab shares with its extensions; the one that it uses itself, where there are several. */
  async function library(name) {
    const offers = Object.values(shared[name]);
    const offer = offers.find((each) => each.loaded) ?? offers[0];
    return (await offer.get())();
  }

  /** Outputs of kernelkit's kind. They are data, not code, so they are drawn in untrusted notebooks as well. */
  async function pictures() {
    const [{ Widget }, { mount }] = await Promise.all([
      library("@lumino/widgets"),
      import(new URL("mount.js", views)),
    ]);

    function twin(png, words) {
      if (!png) {
        return document.createTextNode(String(words ?? ""));
      }
      const image = document.createElement("img");
      image.src = `data:image/png;base64,${String(png).replaceAll("\n", "")}`;
      image.alt = String(words ?? "");
      image.style.maxWidth = "100%";
      return image;
    }

    class PictureRenderer extends Widget {
      constructor() {
        super();
        this.addClass("kernelkit-picture");
        this.shown = null;
      }

      async renderModel(model) {
        const view = model.data[MIME];
        try {
          this.draw(view);
        } catch (error) {
          // Damaged, or of a newer kernelkit: the PNG beside it still can be seen.
          console.warn("kernelkit cannot draw this picture:", error);
          this.clear();
          this.node.append(twin(model.data["image/png"], view?.alt ?? model.data["text/plain"]));
        }
      }

      draw(view) {
        if (this.shown?.kind === view.kind) {
          this.shown.update(view.scene, view.alt);
          return;
        }
        this.clear();
        const place = document.createElement("div");
        this.node.append(place);
        this.shown = { kind: view.kind, ...mount(place, view) };
      }

      clear() {
        this.shown?.destroy();
        this.shown = null;
        this.node.replaceChildren();
      }

      dispose() {
        this.clear();
        super.dispose();
      }
    }

    return {
      id: "kernelkit:pictures",
      description: "Draws kernelkit's pictures.",
      rendererFactory: { safe: true, mimeTypes: [MIME], createRenderer: () => new PictureRenderer() },
      rank: 0,
      dataType: "json",
    };
  }

  /** Gives kernelkit's panel a place beside the notebook; without it the panel floats. */
  async function side() {
    const { Widget } = await library("@lumino/widgets");

    /** JupyterLab's × only takes a plain widget out of sight. */
    class Panel extends Widget {
      onCloseRequest(message) {
        super.onCloseRequest(message);
        this.dispose();
      }
    }

    function dock(app, node, title, onClose) {
      const widget = new Panel({ node });
      widget.id = `kernelkit-${node.dataset.panel}`;
      const beside = app.shell.currentWidget;
      const notebook = beside?.title.label ?? "";
      widget.title.label = [title, notebook].filter(Boolean).join(": ");
      widget.title.closable = true;
      widget.node.style.overflow = "auto";
      widget.disposed.connect(onClose);
      if (app.name === "JupyterLab") {
        // A second panel is a tab of the first one's place.
        const other = [...app.shell.widgets("main")].find((each) => each.id.startsWith("kernelkit-"));
        const where = other ? { mode: "tab-after", ref: other.id } : { mode: "split-right", ref: beside?.id };
        app.shell.add(widget, "main", { ...where, activate: false });
      } else {
        app.shell.add(widget, "right");
        app.shell.expandRight?.(widget.id);
      }
      return () => widget.dispose();
    }

    return {
      id: "kernelkit:side",
      description: "Keeps kernelkit's cluster panel beside the notebook.",
      autoStart: true,
      activate: (app) => {
        globalThis.kernelkitDock = (node, title, onClose) => dock(app, node, title, onClose);
      },
    };
  }

  const modules = { "./pictures": pictures, "./side": side };

  globalThis._JUPYTERLAB = globalThis._JUPYTERLAB ?? {};
  globalThis._JUPYTERLAB.kernelkit = {
    init: (scope) => {
      shared = scope;
    },
    get: async (name) => {
      const plugin = await modules[name]();
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
