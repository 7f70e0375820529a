"""How long one statement takes in a fresh process, and what it brought in.

Arguments: `import` or `load_ext`, a package, and `plain` or `ipython` for where it is said.
"""

import sys
import time

how, package, where = sys.argv[1:]

if where == "ipython":
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()

before = set(sys.modules)
started_s = time.perf_counter()
if how == "load_ext":
    shell.run_line_magic("load_ext", package)
else:
    __import__(package)
took_s = time.perf_counter() - started_s
new = sorted({name.partition(".")[0] for name in set(sys.modules) - before})

import json  # noqa: E402

if how == "load_ext" and (manager := shell.extension_manager) and package not in manager.loaded:
    sys.exit(f"{package} did not load")  # IPython only prints it
print(json.dumps({"took_s": took_s, "new": new}), flush=True)
