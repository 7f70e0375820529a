"""A check that did not run must not look like one that passed."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

# Set by .ci/run: there every check has what it needs, so a skip is a failure.
_NO_SKIPS = os.environ.get("KERNELKIT_NO_SKIPS") == "1"


def pytest_configure() -> None:
    # A shell without job control lets what it runs in the background ignore Ctrl-C, which tests press.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and _NO_SKIPS:
        report.outcome = "failed"
        report.longrepr = f"skipped where no check may be skipped: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section(f"NOT CHECKED: {len(skipped)} tests were skipped", sep="!", red=True)
        for reason in sorted({str(report.longrepr[2]) for report in skipped if report.longrepr}):
            terminalreporter.write_line(reason)
