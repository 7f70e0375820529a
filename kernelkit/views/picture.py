"""A picture of plain data: drawn by the page where it can be, and everywhere else by its static twin.

Three forms of the same facts lie in one output. JupyterLab and Notebook draw the scene with kernelkit's
extension, with no kernel needed, in notebooks that are reopened or not trusted as well. GitHub, nbconvert and
other viewers show the PNG. `text/plain` is a small table, the same from run to run where the facts are.
"""

from __future__ import annotations

import base64
import importlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelkit.errors import ArgumentError
from kernelkit.jsonfile import load_json, save_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kernelkit.views.widget import PictureWidget

MIME = "application/vnd.kernelkit.view.v1+json"
KINDS = ("generation", "links", "memory", "shardmap", "topology")
# Without a module for the page: everywhere their PNG.
STILL_KINDS = ("experiment", "plan", "speeds", "timeline")
FORMAT = 1
_DPI = 144
_DRAWN = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Picture:
    """What the functions of `kernelkit.views` give.

    Attributes:
        kind: one of `KINDS` or `STILL_KINDS`.
        scene: JSON-like; all that is shown.
        text: the same facts as a table.
        alt: one or two sentences for those who do not see it.
    """

    kind: str
    scene: dict[str, Any]
    text: str
    alt: str

    def figure(self) -> Figure:
        """The static twin, drawn by matplotlib."""
        module = importlib.import_module(f"kernelkit.views.{self.kind}_png")
        figure: Figure = module.figure(self.scene)
        return figure

    def png(self, dpi: float = _DPI) -> bytes:
        """The static twin as a PNG."""
        buffer = io.BytesIO()
        self.figure().savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
        return buffer.getvalue()

    def widget(self) -> PictureWidget:
        """An anywidget of it, for front ends without kernelkit's extension; its scene may be replaced.

        Raises:
            ArgumentError: pages do not draw this kind.
        """
        if self.kind in STILL_KINDS:
            cure = "show the picture itself, or save it"
            raise ArgumentError(f"there is no widget of a {self.kind}", expected=", ".join(KINDS), cure=cure)
        from kernelkit.views.widget import PictureWidget

        return PictureWidget(self)

    def save(self, path: str | Path) -> None:
        """Write it as `.png`, `.svg` or `.pdf`, or as `.json`, which `load` reads.

        Raises:
            ArgumentError: another ending, or it cannot be written there.
        """
        target = Path(path).expanduser()
        try:
            if target.suffix == ".json":
                save_json(self.to_dict(), target, indent=1)
            elif target.suffix in _DRAWN:
                self.figure().savefig(target, dpi=_DPI, bbox_inches="tight")
            else:
                raise ArgumentError(
                    f"no picture can be saved as {target.name}", expected=f"{', '.join(_DRAWN)} or .json"
                )
        except OSError as error:
            raise ArgumentError(f"{path} cannot be written", got=error.strerror or str(error)) from error

    @classmethod
    def load(cls, path: str | Path) -> Picture:
        """Read what `save` wrote as JSON.

        Raises:
            ArgumentError: there is no such file, or it holds no picture.
        """
        return cls.from_dict(load_json(path, "picture"))

    def to_dict(self) -> dict[str, Any]:
        fields = {"kind": self.kind, "scene": self.scene, "text": self.text, "alt": self.alt}
        return {"kernelkit_picture": FORMAT, **fields}

    @classmethod
    def from_dict(cls, data: Any) -> Picture:
        """What `to_dict` gave.

        Raises:
            ArgumentError: it is not that, or of another version.
        """
        if not isinstance(data, dict) or data.get("kernelkit_picture") != FORMAT:
            expected = f'an object with "kernelkit_picture": {FORMAT}'
            raise ArgumentError("this is no picture", expected=expected)
        fields = {name: data.get(name) for name in ("kind", "scene", "text", "alt")}
        if fields["kind"] not in KINDS + STILL_KINDS or not isinstance(fields["scene"], dict):
            got = f"kind {fields['kind']!r}, a scene of type {type(fields['scene']).__name__}"
            raise ArgumentError("this picture cannot be drawn", expected=f"a kind of {KINDS}", got=got)
        return cls(fields["kind"], fields["scene"], str(fields["text"]), str(fields["alt"]))

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.bundle()

    def bundle(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Data and metadata of a Jupyter output."""
        view = {"kind": self.kind, "scene": self.scene, "alt": self.alt}
        twin = base64.b64encode(self.png()).decode()
        page = {} if self.kind in STILL_KINDS else {MIME: view}
        return {**page, "image/png": twin, "text/plain": self.text}, {"image/png": {"alt": self.alt}}
