"""Jane Austen's six novels as clean chapters, from the Debian package that carries them.

Jane Austen died in 1817: the novels are out of copyright everywhere. The package `r-cran-janeaustenr` (MIT)
holds Project Gutenberg's texts as data of the R package `janeaustenr`. It is read here without R and without
dpkg, so that this runs on a Mac as well.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path

URL = "https://deb.debian.org/debian/pool/main/r/r-cran-janeaustenr/r-cran-janeaustenr_1.0.0-1_all.deb"
SHA256 = "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95"
_MEMBER = "./usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"

_HEADING = re.compile(r"(chapter|volume) ([ivxlc]+|\d+)", re.IGNORECASE)
_END = re.compile(r"finis|the end|a note on the text", re.IGNORECASE)
# Lines between scenes, an editor's remark, a footnote.
_NOT_PROSE = re.compile(r"[\s*]*$|\[(end|at this point)|\*vide", re.IGNORECASE)
# One of the six texts writes "Mr Elliot", the others "Mr. Elliot".
_TITLE = re.compile(r"\b(Mrs?|Dr)\b(?!\.)")


def package(file: Path | None = None) -> bytes:
    """The Debian package, from `file` or from Debian's server.

    Raises:
        ValueError: it is not the package that the model was made of.
    """
    content = file.read_bytes() if file else urllib.request.urlopen(URL).read()
    if (got := hashlib.sha256(content).hexdigest()) != SHA256:
        raise ValueError(f"{file or URL}: expected SHA-256 {SHA256}, got {got}")
    return content


def novels(package: bytes) -> dict[str, list[str]]:
    """Title to chapters; a chapter is one string, its paragraphs separated by an empty line."""
    vectors = _vectors(_rdb(package))
    return {lines[0].title().replace(" And ", " and "): list(_chapters(lines)) for lines in vectors}


def _rdb(package: bytes) -> bytes:
    """R's file of data. A .deb is an `ar` archive: members behind headers of 60 bytes, at even offsets."""
    at = len(b"!<arch>\n")
    while at < len(package):
        name, size = package[at : at + 16].strip(), int(package[at + 48 : at + 58])
        if name.startswith(b"data.tar"):
            with tarfile.open(fileobj=io.BytesIO(package[at + 60 : at + 60 + size])) as archive:
                member = archive.extractfile(_MEMBER)
                assert member is not None
                return member.read()
        at += 60 + size + size % 2
    raise ValueError("the package holds no data.tar")


def _vectors(rdb: bytes) -> Iterator[list[str]]:
    """The character vectors in a lazy-load file: each a length, then a zlib stream of R's serialization."""
    while rdb:
        stream = zlib.decompressobj()
        yield _strings(stream.decompress(rdb[4:]))
        rdb = stream.unused_data


def _strings(serialized: bytes) -> list[str]:
    """Of R's XDR format, version 3: a header that ends with an encoding's name, then one string vector."""

    def number(at: int) -> int:
        return int.from_bytes(serialized[at : at + 4], "big")

    assert serialized[:2] == b"X\n"
    assert number(2) == 3
    at = 18 + number(14)
    assert number(at) & 255 == 16, "not a vector of strings"
    count, at = number(at + 4), at + 8
    lines = []
    for _ in range(count):
        size = number(at + 4)
        lines.append(serialized[at + 8 : at + 8 + size].decode())
        at += 8 + size
    return lines


def _chapters(lines: list[str]) -> Iterator[str]:
    """What stands between the headings, without what stands before the first and after the end."""
    chapter: list[str] | None = None
    for line in [*lines, "THE END"]:
        if _HEADING.fullmatch(line.strip()) or _END.fullmatch(line.strip()):
            if chapter and (text := _clean("\n".join(chapter))):
                yield text
            chapter = []
            if _END.fullmatch(line.strip()):
                return
        elif chapter is not None:
            chapter.append(line)


def _clean(chapter: str) -> str:
    paragraphs = (block for block in re.split(r"\n\s*\n", chapter) if not _NOT_PROSE.match(block.strip()))
    return "\n\n".join(
        _TITLE.sub(r"\1.", re.sub(r"[_*]", "", re.sub(r"\s+", " ", block.strip()))) for block in paragraphs
    )
