"""The cluster panel as a widget: a topology that the kernel keeps up to date, and two buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from kernelkit.views.modules import joined

if TYPE_CHECKING:
    from kernelkit.views.picture import Picture


class PanelWidget(anywidget.AnyWidget):
    """Shows itself at the side of the notebook as soon as it is made.

    Attributes:
        name: tells its messages from those of another panel.
        scene: of `views.topology`.
        state: of the cluster, in its own words.
        is_open: False once its user has closed it.
    """

    _esm = joined("panel.js")
    name = traitlets.Unicode().tag(sync=True)
    scene: Any = traitlets.Dict().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    state = traitlets.Unicode().tag(sync=True)
    is_open = traitlets.Bool(True).tag(sync=True)

    def __init__(self, name: str, picture: Picture, state: str) -> None:
        super().__init__(name=name, scene=picture.scene, alt=picture.alt, state=state)

    def show(self, picture: Picture, state: str) -> None:
        """Replace what it shows, in one message."""
        with self.hold_sync():
            self.scene, self.alt, self.state = picture.scene, picture.alt, state

    def __repr__(self) -> str:
        return f"<PanelWidget: {self.state}>"
