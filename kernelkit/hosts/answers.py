"""A survey's raw answer, section by section, into a `Machine`. Whatever cannot be read stays unknown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from kernelkit.hosts.gpulinks import parse_gpu_links
from kernelkit.hosts.machine import Machine, PythonFacts, ThunderboltPort
from kernelkit.hosts.network import kinds_of_ports, parse_hardware_ports, parse_ifconfig, parse_ip
from kernelkit.hosts.thunderbolt import parse_ibv_devinfo, parse_thunderbolt

_KIB, _MIB = 1024, 1024**2


@dataclass(frozen=True)
class Section:
    """What one command printed, and how it ended; 127 where it is not there."""

    text: str
    status: int


Sections = Mapping[str, Section]


def parse_sections(text: str, mark: str) -> dict[str, Section]:
    """The sections by name. What stands outside of them, such as a login's greeting, does not count."""
    pattern = rf"^@@{re.escape(mark)} begin ([^\n]+)\n(.*?)\n?^@@{re.escape(mark)} end \1 (\d{{1,9}})$"
    found = re.finditer(pattern, text.replace("\r\n", "\n"), re.MULTILINE | re.DOTALL | re.ASCII)
    return {match[1]: Section(match[2], int(match[3])) for match in found}


def parse_machine(host: str, sections: Sections, asked_at_s: float, answered_at_s: float) -> Machine:
    """The machine that gave these answers between those two times of the asking machine's clock."""
    system = _line(sections, "system")
    offset_s, error_s = _clock(sections, asked_at_s, answered_at_s)
    machine = Machine(
        host=host,
        system=system,
        free_disk_bytes=_free_disk(_text(sections, "disk")),
        python=_python(_text(sections, "python")),
        clock_offset_s=offset_s,
        clock_error_s=error_s,
        silent=tuple(name for name, section in sections.items() if not section.text.strip()),
    )
    if system == "Darwin":
        return _mac(machine, sections)
    return _linux(machine, sections) if system == "Linux" else machine


def parse_routes(sections: Sections) -> tuple[tuple[str, str], ...]:
    """For each address that was asked about, the interface that leads there."""
    found = []
    for name, section in sections.items():
        match = re.search(r"^\s*interface: (\S+)", section.text, re.MULTILINE)
        if name.startswith("route ") and match:
            found.append((name.removeprefix("route "), match[1]))
    return tuple(found)


def _mac(machine: Machine, sections: Sections) -> Machine:
    sysctl = dict(re.findall(r"^([\w.]+): (.*)$", _text(sections, "sysctl"), re.MULTILINE))
    hardware = parse_hardware_ports(_text(sections, "hardware_ports"))
    ports, kind = parse_thunderbolt(_text(sections, "thunderbolt"), hardware, _rdma_devices(sections))
    wired_mib = _number(sysctl.get("iogpu.wired_limit_mb", ""))
    return replace(
        machine,
        version=_found(r"^ProductVersion:\s*(\S+)", _text(sections, "version")),
        model=sysctl.get("hw.model", "").strip(),
        kind=kind,
        chip=sysctl.get("machdep.cpu.brand_string", "").strip(),
        memory_bytes=_number(sysctl.get("hw.memsize", "")),
        free_memory_bytes=_free_pages(_text(sections, "vm_stat")),
        interfaces=parse_ifconfig(_text(sections, "ifconfig"), kinds_of_ports(hardware)),
        ports=ports,
        rdma_enabled=_rdma_enabled(_line(sections, "rdma_ctl"), ports),
        wired_limit_bytes=None if wired_mib is None else wired_mib * _MIB,
        firewall=_firewall(_text(sections, "firewall")),
        fast_synch=_fast_synch(sections),
    )


def _linux(machine: Machine, sections: Sections) -> Machine:
    memory = dict(re.findall(r"^(\w+):\s*(\d+) kB$", _text(sections, "meminfo"), re.MULTILINE | re.ASCII))
    total, available = (_number(memory.get(name, "")) for name in ("MemTotal", "MemAvailable"))
    links, addresses = _text(sections, "links"), _text(sections, "ip")
    with_ip = "ip" in sections and sections["ip"].status != 127
    gpus = _text(sections, "gpus").splitlines() if "gpus" in sections else []
    return replace(
        machine,
        version=_found(r'^PRETTY_NAME="?([^"\n]*)', _text(sections, "version")),
        chip=_found(r"^model name\s*: *(.*)$", _text(sections, "cpu")).strip(),
        memory_bytes=None if total is None else total * _KIB,
        free_memory_bytes=None if available is None else available * _KIB,
        interfaces=parse_ip(addresses, links) if with_ip else parse_ifconfig(_text(sections, "ifconfig"), {}),
        gpus=tuple(line.strip() for line in gpus if line.strip() and sections["gpus"].status == 0),
        gpu_links=parse_gpu_links(_text(sections, "gpu_links") if "gpu_links" in sections else ""),
    )


def _rdma_devices(sections: Sections) -> dict[str, bool]:
    listed = re.findall(r"^\s*(rdma_\w+)\s+[0-9a-fA-F:]+\s*$", _text(sections, "ibv_devices"), re.MULTILINE)
    active = parse_ibv_devinfo(_text(sections, "ibv_devinfo"))
    return {**dict.fromkeys(listed, False), **active}


def _rdma_enabled(status: str, ports: tuple[ThunderboltPort, ...] | None) -> bool | None:
    lowered = status.lower()
    if "disabled" in lowered or "not enabled" in lowered:
        return False
    if "enabled" in lowered:
        return True
    # Devices are listed only where it is enabled.
    return True if any(port.rdma_device for port in ports or ()) else None


def _firewall(text: str) -> bool | None:
    state = _found(r"State = (\d)", text)
    if state:
        return state != "0"
    return None if "abled" not in text else "enabled" in text.lower()


def _fast_synch(sections: Sections) -> str | None:
    """The shell's own value comes before launchd's, which only logins on the screen inherit."""
    asked = [sections[name] for name in ("fast_synch", "fast_synch_launchd") if name in sections]
    answers = [section for section in asked if section.status != 127]
    return next(
        (section.text.strip() for section in answers if section.text.strip()), "" if answers else None
    )


def _free_pages(text: str) -> int | None:
    """What macOS can hand out at once: free pages, and those that nobody has touched for a while."""
    size = _number(_found(r"page size of (\d{1,9}) bytes", text))
    pages = dict(re.findall(r"^Pages (free|inactive|speculative):\s+(\d{1,15})\.", text, re.MULTILINE))
    if size is None or "free" not in pages:
        return None
    return size * sum(int(count) for count in pages.values())


def _free_disk(text: str) -> int | None:
    lines = text.strip().splitlines()
    match = re.search(r"\s(\d{1,18})\s+\d+%\s", lines[-1], re.ASCII) if len(lines) > 1 else None
    return int(match[1]) * _KIB if match else None


def _python(text: str) -> PythonFacts | None:
    for line in reversed(text.splitlines()):
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            continue
        packages = data.get("packages") if isinstance(data, dict) else None
        if isinstance(packages, dict) and isinstance(data.get("python"), str):
            versions = ((str(name), str(version)) for name, version in packages.items())
            return PythonFacts(str(data.get("executable")), data["python"], tuple(versions))
    return None


def _clock(sections: Sections, asked_at_s: float, answered_at_s: float) -> tuple[float | None, float | None]:
    """How far its clock is ahead, and by how much that may be wrong.

    It was read at the first and at the last thing that the machine did, so what it did between costs
    nothing: only the way there, the way back and the second that `date` cuts off are unknown.
    """
    first, last = (_number(_line(sections, name)) for name in ("clock", "clock_again"))
    if first is None or last is None or last < first:
        return None, None
    least, most = last - answered_at_s, first + 1 - asked_at_s
    return ((least + most) / 2, (most - least) / 2) if least <= most else (None, None)


def _text(sections: Sections, name: str) -> str:
    section = sections.get(name)
    return section.text if section else ""


def _line(sections: Sections, name: str) -> str:
    lines = _text(sections, name).strip().splitlines()
    return lines[0].strip() if lines else ""


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE | re.ASCII)
    return match[1] if match else ""


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,18}", text.strip(), re.ASCII) else None
