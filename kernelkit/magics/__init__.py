"""The magics: thin doors to the public calls. `register` and `unregister` are what `%load_ext` uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelkit.magics import pictures
from kernelkit.magics.commands import KernelkitMagics
from kernelkit.magics.complete import Completer

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_MAGICS = (("line", "cluster"), ("line", "model"), ("line", "plan"), ("line", "experiment"),
           ("line", "sharded"), ("cell", "sharded"), ("cell", "generate"), ("cell", "chat"))  # fmt: skip


def register(shell: InteractiveShell) -> None:
    """Add the magics and their completion to the shell."""
    magics = KernelkitMagics(shell)
    shell.register_magics(magics)
    pictures.register(shell, magics.find)
    completer = Completer(magics.find)
    shell.Completer.custom_matchers.append(completer.matcher)
    shell.meta.kernelkit = (magics, completer)


def unregister(shell: InteractiveShell) -> None:
    """Stop the cluster that the magics hold, and take everything away that `register` added."""
    registered = shell.meta.pop("kernelkit", None)
    if registered is None:
        return
    magics, completer = registered
    magics.close()
    magics.close_panel()
    pictures.unregister(shell)
    shell.Completer.custom_matchers.remove(completer.matcher)
    for kind, name in _MAGICS:
        shell.magics_manager.magics[kind].pop(name, None)
