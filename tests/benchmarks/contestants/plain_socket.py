"""One end of a ping-pong of 4 bytes over a plain TCP socket.

`serve ADDRESS` prints its port and echoes until the other end closes; `ping ADDRESS PORT` prints half the
median round trip as a JSON line.
"""

import json
import socket
import statistics
import sys
import time

PINGS = 1000


def serve(address: str) -> None:
    with socket.create_server((address, 0)) as server:
        print(server.getsockname()[1], flush=True)
        connection, _ = server.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(4):
            connection.sendall(data)


def ping(address: str, port: str) -> None:
    taken_s = []
    with socket.create_connection((address, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(PINGS):
            started_s = time.perf_counter()
            connection.sendall(b"ping")
            connection.recv(4)
            taken_s.append(time.perf_counter() - started_s)
    print(json.dumps({"latency_s": statistics.median(taken_s[PINGS // 10 :]) / 2}), flush=True)


if sys.argv[1] == "serve":
    serve(sys.argv[2])
else:
    ping(sys.argv[2], sys.argv[3])
