"""From nothing to two engines that have run a function, with ipyparallel as its manual starts them."""

import json
import logging
import sys
import time

started_s = time.perf_counter()

import ipyparallel as ipp  # noqa: E402

imported_s = time.perf_counter()

cluster = ipp.Cluster(n=2, log_level=logging.ERROR)
try:
    client = cluster.start_and_connect_sync()
    client[:].apply_sync(int)
    ready_s = time.perf_counter()
    print(json.dumps({"import_s": imported_s - started_s, "connect_s": ready_s - imported_s}), flush=True)
    sys.stdin.read()
finally:
    cluster.stop_cluster_sync()
