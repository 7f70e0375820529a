"""From nothing to two ranks that have run a cell, with kernelkit."""

import json
import sys
import time

started_s = time.perf_counter()

from kernelkit import connect  # noqa: E402

imported_s = time.perf_counter()

cluster = connect(2)
try:
    cluster.run("pass")
    ready_s = time.perf_counter()
    print(json.dumps({"import_s": imported_s - started_s, "connect_s": ready_s - imported_s}), flush=True)
    sys.stdin.read()
finally:
    cluster.stop()
