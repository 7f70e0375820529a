"""What this machine is called in tables and pictures."""

from __future__ import annotations

import os
import socket

# Set where a notebook is going to be shown to others, or a machine's own name says nothing.
VARIABLE = "KERNELKIT_HOST_NAME"


def own_name() -> str:
    """`$KERNELKIT_HOST_NAME` of this machine if it is set, else its host name.

    Only for what is shown: nothing is reached by it.
    """
    return os.environ.get(VARIABLE) or socket.gethostname()
