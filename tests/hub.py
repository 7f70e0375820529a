"""A model hub on this machine, for tests: it answers what the hub's client asks for a public model."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlx.core as mx

COMMIT = "c0ffee" * 6 + "c0ff"


@dataclass
class Hub:
    """Models by name, each a folder; and what was asked for.

    Attributes:
        url: for the variable HF_ENDPOINT.
        whole: files that were asked for whole, in order.
        parts: files of which only a range was asked for, in order.
    """

    models: dict[str, Path]
    url: str = ""
    whole: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    @property
    def weights(self) -> list[str]:
        """The weight files among the whole ones."""
        return sorted(file for file in self.whole if file.endswith(".safetensors"))

    def forget(self) -> None:
        """Begin to count anew."""
        self.whole.clear()
        self.parts.clear()


@contextmanager
def serve(models: dict[str, Path]) -> Iterator[Hub]:
    """Answer on a port of 127.0.0.1 until the end of the block."""
    hub = Hub(models)

    class Handler(_Handler):
        pass

    Handler.hub = hub
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        if match := re.fullmatch(r"/api/models/(\w+/\w+)(?:/revision/\w+)?", path):
            self._send_json({"id": match[1], "sha": COMMIT, "siblings": []}, match[1])
        elif match := re.fullmatch(r"/api/models/(\w+/\w+)/tree/\w+", path):
            folder = self.hub.models.get(match[1], Path("/nowhere"))
            listed = [
                {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _digest(file)}
                for file in (sorted(folder.iterdir()) if folder.is_dir() else [])
            ]
            self._send_json(listed, match[1])
        elif match := re.fullmatch(r"/(\w+/\w+)/resolve/\w+/([\w.-]+)", path):
            self._send_file(match[1], match[2])
        else:
            self._send(404, b"", {})

    def _send_json(self, content: Any, name: str) -> None:
        if name in self.hub.models:
            self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _send_file(self, name: str, file: str) -> None:
        path = self.hub.models[name] / file
        if not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        data = path.read_bytes()
        headers = {"ETag": f'"{_digest(path)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""), re.ASCII)
        if self.command == "GET":
            (self.hub.parts if span else self.hub.whole).append(file)
        if span is None:
            self._send(200, data, headers)
            return
        part = data[int(span[1]) : int(span[2]) + 1 if span[2] else None]
        end = int(span[1]) + len(part) - 1
        self._send(206, part, {**headers, "Content-Range": f"bytes {span[1]}-{end}/{len(data)}"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what was asked is kept."""


def _digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


def split_by_layers(folder: Path, layers_per_file: int) -> list[str]:
    """Put a model's one weight file into several, with an index: what is in no layer goes into the last.

    Returns:
        Their names in the order of the layers.
    """
    whole = folder / "model.safetensors"
    tensors: dict[str, mx.array] = dict(mx.load(str(whole)))  # type: ignore[arg-type]
    groups: dict[int, dict[str, mx.array]] = {}
    for name, value in tensors.items():
        match = re.search(r"layers\.(\d+)\.", name)
        groups.setdefault(int(match[1]) // layers_per_file if match else 10**6, {})[name] = value
    names = [f"model-{i + 1:05}-of-{len(groups):05}.safetensors" for i in range(len(groups))]
    weight_map = {}
    for file, (_, group) in zip(names, sorted(groups.items()), strict=True):
        mx.save_safetensors(str(folder / file), group, metadata={"format": "mlx"})
        weight_map |= dict.fromkeys(group, file)
    whole.unlink()
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return names
