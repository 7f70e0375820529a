"""Real hosts on one machine: network namespaces, an sshd in each, cables, and what can go wrong with them.

    with Lab(hosts=2) as lab, lab.inside():
        subprocess.run(["ssh", "kk1", "true"], check=True)

Needs root on Linux; `why_not()` says what else is missing.
"""

from tests.hosts.lab.lab import Lab
from tests.hosts.lab.leftovers import sweep
from tests.hosts.lab.needs import why_not
from tests.hosts.lab.tools import LabError

__all__ = ["Lab", "LabError", "sweep", "why_not"]
