"""What forked children of a rank print reaches the rank through a socket that nobody else can write to.

ipykernel binds that socket in the clear: any user of the machine who finds its port could put text into
a cell's output, or fill the rank's memory. Here it speaks CURVE, with a pair that the children inherit.
"""

from __future__ import annotations

import os
from typing import Any

import zmq
from ipykernel.iostream import IOPubThread
from zmq.eventloop.zmqstream import ZMQStream


class PrivateIOPubThread(IOPubThread):
    """ipykernel's thread for output, with a lock on its inner door."""

    def _setup_pipe_in(self) -> None:
        self._pipe_uuid = os.urandom(16)
        pipe: zmq.Socket[bytes] = self.socket.context.socket(zmq.PULL)
        pipe.linger = 0
        self._pair = zmq.curve_keypair()
        pipe.curve_publickey, pipe.curve_secretkey = self._pair
        pipe.curve_server = True
        self._pipe_port = pipe.bind_to_random_port("tcp://127.0.0.1")
        self._pipe_in = ZMQStream(pipe, self.io_loop)
        self._pipe_in.on_recv(self._handle_pipe_msg)

    def _setup_pipe_out(self) -> tuple[zmq.Context[Any], zmq.Socket[bytes]]:
        context: zmq.Context[Any] = zmq.Context()  # a forked child must not use its parent's
        pipe = context.socket(zmq.PUSH)
        pipe.linger = 3000
        pipe.curve_publickey, pipe.curve_secretkey = self._pair
        pipe.curve_serverkey = self._pair[0]
        pipe.connect(f"tcp://127.0.0.1:{self._pipe_port}")
        return context, pipe
