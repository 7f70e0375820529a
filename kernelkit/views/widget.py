"""The live form of a picture: an anywidget that draws with the same modules as the extension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from kernelkit.views.modules import joined

if TYPE_CHECKING:
    from kernelkit.views.picture import Picture


class PictureWidget(anywidget.AnyWidget):
    """A picture on the page whose scene can be replaced: `widget.scene = picture.scene`."""

    _esm = joined("widget.js")
    kind = traitlets.Unicode().tag(sync=True)
    scene: Any = traitlets.Dict().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)

    def __init__(self, picture: Picture) -> None:
        super().__init__(kind=picture.kind, scene=picture.scene, alt=picture.alt)

    def __repr__(self) -> str:
        return f"<PictureWidget: {self.kind}>"
