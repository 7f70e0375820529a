"""What the doctor found, as plain data that shows itself as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from kernelkit.hosts.checks import NOT_A_MAC, PROBLEM, UNKNOWN, WARNING, Check, worst
from kernelkit.tables import html_table, text_table

_COLUMNS = ("host", "check", "state", "seen", "cure")


@dataclass(frozen=True)
class HostDiagnosis:
    """All checks of one host."""

    host: str
    checks: tuple[Check, ...]

    @property
    def state(self) -> str:
        """The worst state of its checks: problem, warning, unknown or ok."""
        return worst(self.checks)

    def check(self, name: str) -> Check:
        """One check by its name.

        Raises:
            KeyError: it was not made.
        """
        return {check.name: check for check in self.checks}[name]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> HostDiagnosis:
        return cls(data["host"], tuple(Check(**check) for check in data["checks"]))


@dataclass(frozen=True)
class Diagnosis:
    """All hosts, in the order in which they were asked."""

    hosts: tuple[HostDiagnosis, ...]

    def host(self, name: str) -> HostDiagnosis:
        """One host by its name.

        Raises:
            KeyError: it was not asked.
        """
        return {host.host: host for host in self.hosts}[name]

    @property
    def problems(self) -> int:
        return self._count(PROBLEM)

    def title(self) -> str:
        hosts = len(self.hosts)
        counts = [(self._count(state), state) for state in (PROBLEM, WARNING)]
        found = [f"{count} {state}{'s' if count > 1 else ''}" for count, state in counts if count]
        unknown = self._count(UNKNOWN)
        found += [f"{unknown} unknown"] if unknown else []
        return f"{hosts} host{'s' if hosts > 1 else ''}: {', '.join(found) or 'all is well'}"

    def _count(self, state: str) -> int:
        return sum(check.state == state for host in self.hosts for check in host.checks)

    def _rows(self) -> list[tuple[str, ...]]:
        """A row for each check; those that do not apply to a host share one."""
        rows: list[tuple[str, ...]] = []
        for host in self.hosts:
            made = [check for check in host.checks if check.state != NOT_A_MAC]
            rows += [(host.host, check.name, check.state, check.seen, check.cure) for check in made]
            skipped = [check.seen for check in host.checks if check.state == NOT_A_MAC]
            if skipped:
                rows.append((host.host, f"{len(skipped)} for Macs", NOT_A_MAC, skipped[0], ""))
        return rows

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Diagnosis:
        return cls(tuple(HostDiagnosis.from_dict(host) for host in data["hosts"]))

    def __repr__(self) -> str:
        return f"{self.title()}\n{text_table(_COLUMNS, self._rows())}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": html_table(_COLUMNS, self._rows(), self.title())}
