"""A chart of a Helm repository or a registry by name and version in, its files out.

Repositories: https://helm.sh/docs/topics/chart_repository/; registries: https://helm.sh/docs/topics/registries/ and
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pull.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from bot.render.model import LARGEST, Unusable, documents, items, mapping, text
from bot.sources import remote
from bot.sources.remote import Address, Unreachable, address

LARGEST_INDEX = 50_000_000
LARGEST_CHART = 20_000_000
LARGEST_MANIFEST = 1_000_000
_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
MOST_UNPACKED = 100_000_000
MOST_FILES = 10_000
_VERSION = re.compile(r"v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MARK = "chart\0"


class Chart(NamedTuple):
    """A chart of a repository, as it is written."""

    repository: str
    name: str
    version: str

    @property
    def written(self) -> str:
        """As one text, which no kustomization refers to."""
        return _MARK + "\0".join(self)

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}".strip()


def chart(written: str) -> Chart | None:
    """The chart of a text of `Chart.written`; None for another text."""
    parts = written.removeprefix(_MARK).split("\0")
    return Chart(*parts) if written.startswith(_MARK) and len(parts) == 3 else None


def checked(one: Chart) -> Address:
    """The address of its repository. Raises ValueError, with the reason, where it is not fetched whatever the config says."""
    if not one.repository.lower().startswith(("https://", "oci://")):
        raise ValueError("only repositories of https:// and registries of oci:// are fetched from")
    if not _NAME.fullmatch(one.name) or len(one.name) > 200:
        raise ValueError("its name is none")
    if not _VERSION.fullmatch(one.version):
        raise ValueError(f"its version {one.version[:40]!a} is not one alone, as 1.2.3 is")
    return address(one.repository)


def fetch(one: Chart, allowed: Sequence[Address], known: dict[Address, bytes]) -> dict[str, bytes]:
    """Its files, by their paths within it. `known`: the indexes of repositories, which gains this one's. Raises Unreachable."""
    repository = checked(one)
    if repository.scheme == "oci":
        return unpacked(_pulled(repository._replace(scheme="https"), one, allowed))
    if repository not in known:
        known[repository] = remote.get(
            repository._replace(parts=(*repository.parts, "index.yaml")), allowed, LARGEST_INDEX
        )
    entry = _entry(known[repository], one)
    where = next((text(url) for url in items(entry.get("urls")) if text(url)), "")
    try:
        place = (
            address(where)
            if "://" in where
            else repository._replace(parts=(*repository.parts, *address(f"https://x/{where}").parts))
        )
    except ValueError as error:
        raise Unreachable(f"the address of its archive is not fetched: {error}") from None
    if not remote.permitted(place, allowed):
        raise Unreachable(f"its archive is at {str(place)[:120]!a}, which render.remote does not name")
    data = remote.get(place, allowed, LARGEST_CHART)
    digest = text(entry.get("digest"))
    if digest and hashlib.sha256(data).hexdigest() != digest.lower().removeprefix("sha256:"):
        raise Unreachable("its archive is not the one that the index names (digest)")
    return unpacked(data)


def _pulled(registry: Address, one: Chart, allowed: Sequence[Address]) -> bytes:
    """The packed chart that a registry has at a tag, as anybody may pull it. Raises Unreachable."""
    chart = registry._replace(parts=("v2", *registry.parts, one.name))
    here = (chart, *allowed)
    manifest = chart._replace(parts=(*chart.parts, "manifests", one.version.replace("+", "_")))
    headers = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    try:
        data = remote.get(manifest, here, LARGEST_MANIFEST, headers)
    except remote.Unauthorized as asked:
        headers["Authorization"] = f"Bearer {_token(registry, asked.challenge, '/'.join(chart.parts[1:]), allowed)}"
        data = remote.get(manifest, here, LARGEST_MANIFEST, headers)
    layers = [mapping(layer) for layer in items(_json(data).get("layers"))]
    chosen = [layer for layer in layers if layer.get("mediaType") == _LAYER] or layers[:1]
    digest = text(chosen[0].get("digest")) if chosen else ""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise Unreachable("what the registry has at this version is no chart")
    del headers["Accept"]
    data = remote.get(chart._replace(parts=(*chart.parts, "blobs", digest)), here, LARGEST_CHART, headers)
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise Unreachable("its archive is not the one that the registry names (digest)")
    return data


def _token(registry: Address, challenge: str, name: str, allowed: Sequence[Address]) -> str:
    """What a registry gives to everybody who asks for leave to pull; it has to be of the registry's host, or on the list."""
    from urllib.parse import urlencode

    found = dict(re.findall(r'([a-z]+)="([^"]*)"', challenge))
    try:
        place = address(found.get("realm", ""))
    except ValueError:
        raise Unreachable("the registry wants to know who asks") from None
    query = urlencode({"service": found.get("service", ""), "scope": f"repository:{name}:pull"})
    answer = _json(remote.get(place, (registry._replace(parts=()), *allowed), LARGEST_MANIFEST, query=query))
    token = text(answer.get("token")) or text(answer.get("access_token"))
    if not re.fullmatch(r"[\x21-\x7e]{1,20000}", token):
        raise Unreachable("the registry wants to know who asks")
    return token


def _json(data: bytes) -> dict[str, Any]:
    try:
        return mapping(json.loads(data))
    except (ValueError, RecursionError):
        raise Unreachable("the registry's answer is none") from None


def _entry(index: bytes, one: Chart) -> dict[str, Any]:
    """What the index says of a version: the part of it that is read is cut out, since whole ones are large."""
    name = re.escape(one.name.encode())
    found = re.search(rb"^  [\"']?%b[\"']?:[ \t]*\r?\n((?:(?:  [ -]|[ \t]*\r?$).*\n?)*)" % name, index, re.MULTILINE)
    entries = re.split(rb"^(?=  - )", found[1], flags=re.MULTILINE)[1:] if found else []
    wanted = re.compile(rb"^    version: *[\"']?%b[\"']?[ \t]*\r?$" % re.escape(one.version.encode()), re.MULTILINE)
    try:
        for entry in entries:
            if wanted.search(entry) or re.match(
                rb"  - version: *[\"']?%b[\"']?\s" % re.escape(one.version.encode()), entry
            ):
                return mapping(items(next(iter(documents(entry)), None))[0])
        if len(index) <= LARGEST:
            whole = mapping(mapping(next(iter(documents(index)), None)).get("entries"))
            for row in map(mapping, items(whole.get(one.name))):
                if row.get("version") == one.version:
                    return row
    except (Unusable, LookupError):
        raise Unreachable("the index of its repository cannot be read") from None
    raise Unreachable("its repository has no such version")


def unpacked(data: bytes) -> dict[str, bytes]:
    """The files of a packed chart, without the folder that all are in. Raises Unreachable."""
    import io
    import tarfile
    import zlib

    opened = zlib.decompressobj(31)
    out: dict[str, bytes] = {}
    try:
        raw = opened.decompress(data, MOST_UNPACKED)
        if opened.unconsumed_tail:
            raise Unreachable(f"it is larger than {MOST_UNPACKED:,} bytes when it is unpacked")
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
            for member in archive:
                parts = member.name.split("/")[1:]
                if member.isdir() or not parts:
                    continue
                if not member.isfile() or any(
                    part in ("", ".", "..", ".git") or "\\" in part or "\0" in part for part in parts
                ):
                    raise Unreachable("it holds a link, or a name that leaves it")
                stream = archive.extractfile(member)
                out["/".join(parts)] = stream.read() if stream is not None else b""
                if len(out) > MOST_FILES:
                    raise Unreachable(f"it has more than {MOST_FILES:,} files")
    except (zlib.error, tarfile.TarError, OSError, ValueError, EOFError):
        raise Unreachable("it is no packed chart") from None
    if "Chart.yaml" not in out:
        raise Unreachable("it is no packed chart")
    return dict(sorted(out.items()))
