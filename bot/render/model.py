"""YAML that says what is deployed in; its values with their lines, and what to render (Root), out."""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
LARGEST = 2_000_000
MOST_NODES = 200_000


class Helm(NamedTuple):
    """How a chart is rendered. `values`: in the order in which they count, each a file ('file', path; 'optional', path: if it is there)
    or YAML ('text', the text). `files`: values that are the contents of files, each (name, path)."""

    release: str
    values: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, str, bool], ...] = ()
    kube_version: str = ""
    api_versions: tuple[str, ...] = ()
    skip_crds: bool = False
    files: tuple[tuple[str, str], ...] = ()


class Cluster(NamedTuple):
    """A cluster that Argo CD knows."""

    name: str
    server: str
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


class Options(NamedTuple):
    """What is said of all charts and ApplicationSets at once; `kube_version` and `api_versions` where one says nothing itself.

    `remote`: the addresses that may be fetched; `plugins`: those of Kustomize that may run.
    """

    kube_version: str = ""
    api_versions: tuple[str, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    remote: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    def capable(self, root: Root) -> Root:
        """A root with what its chart is to see of the cluster."""
        if root.helm is None:
            return root
        helm = root.helm
        versions = helm.api_versions or self.api_versions
        return root._replace(
            helm=helm._replace(kube_version=helm.kube_version or self.kube_version, api_versions=versions)
        )


class Root(NamedTuple):
    """One thing that is deployed from one folder.

    `environment`: the cluster it goes to. `tool`: kustomize, helm or plain. `path`: its folder, '.' for the top. `file` and `line`: what
    declares it. `namespace`: of objects that name none. `edits`: what a GitOps controller adds to the kustomization, as JSON.
    `variables`: what it puts in place of `${NAME}`; None: nothing is replaced. `refused`: why it cannot be rendered at all, `setting`:
    what would help. `recurse`, `include`, `exclude`: which files of a plain folder. `generated`: the folder has no kustomization, and
    one of all that is in it is made. `named`: by the config, so that what is wrong with it is told whatever the change. `loose`: it may
    have files from outside of the folders of its kustomizations. `unknown`: the objects that hold variables and are not in the
    repository. `rendered`: what is done with what its chart renders, one after the other, each kustomizations' settings as JSON.
    `jsonnet`: Jsonnet in a plain folder counts. `chart`: what is fetched for it (charts.Chart.written).
    """

    name: str
    environment: str
    tool: str
    path: str
    file: str
    line: int = 1
    namespace: str | None = None
    helm: Helm | None = None
    edits: str = ""
    variables: tuple[tuple[str, str], ...] | None = None
    refused: str = ""
    setting: str | None = None
    recurse: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    generated: bool = False
    named: bool = False
    loose: bool = False
    unknown: tuple[str, ...] = ()
    rendered: tuple[str, ...] = ()
    jsonnet: bool = False
    chart: str = ""


class Unusable(Exception):
    """A file that says what to render and cannot be understood; the message is for people."""


def joined(folder: str, ref: str) -> str | None:
    """A reference from within a folder as a path of the tree; None where it leaves the tree."""
    if ref.startswith("/"):
        return None
    path = posixpath.normpath(posixpath.join(folder, ref))
    return None if path == ".." or path.startswith("../") else path


def clean(path: str) -> str:
    """A path from the top of the repository; '..' for one that leaves it."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ".." if ".." in parts else "/".join(parts) or "."


def below(folder: str, path: str) -> bool:
    return folder == "." or path == folder or path.startswith(folder + "/")


def under(contents: Mapping[str, bytes], folder: str) -> list[str]:
    """The files of a folder and below it; `contents` are in the order of their paths."""
    names = list(contents)
    if folder == ".":
        return names
    return names[bisect_left(names, folder + "/") : bisect_left(names, folder + "0")]


def documents(data: bytes) -> list[Any]:
    """The values of a YAML file. Raises Unusable."""
    return [value for value, _ in located(data)]


def located(data: bytes) -> Sequence[tuple[Any, int]]:
    """The values of a YAML file, each with its first line; nobody changes them. Raises Unusable."""
    return _located(data)


# Overlays share their bases, and each side and each round looks again.
@lru_cache(2_000)
def _located(data: bytes) -> tuple[tuple[Any, int], ...]:
    import yaml

    if len(data) > LARGEST:
        raise Unusable(f"it is larger than {LARGEST:,} bytes")
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return tuple(_loaded(base, data))
    except yaml.composer.ComposerError as error:
        if "duplicate anchor" not in str(error):
            raise _unusable(error) from None
    except _errors() as error:
        raise _unusable(error) from None
    try:
        return tuple(_loaded(_anchored(), data))
    except _errors() as error:
        raise _unusable(error) from None


def apart(data: bytes) -> tuple[list[tuple[Any, int]], list[tuple[bytes, int]]]:
    """As `located`, and the documents that cannot be read, each with its first line."""
    found: list[tuple[Any, int]] = []
    broken: list[tuple[bytes, int]] = []
    try:
        return list(located(data)), broken
    except Unusable:
        if len(data) > LARGEST:
            return found, [(data, 1)]
    line = 1
    for part in _PAGE.split(data):
        try:
            found += [(value, line + first - 1) for value, first in located(part)]
        except Unusable:
            broken.append((part, line))
        line += part.count(b"\n") + 1
    return found, broken


_PAGE = re.compile(rb"^---(?=[ \t]*(?:#.*)?\r?$).*\n", re.MULTILINE)


def _loaded(base: Any, data: bytes) -> list[tuple[Any, int]]:
    out = []
    loader = base(data)
    try:
        while loader.check_node():
            node = loader.get_node()
            _measure(node, {}, 0)
            out.append((loader.construct_document(node), node.start_mark.line + 1))
    finally:
        loader.dispose()
    return out


@cache
def _anchored() -> Any:
    """A loader for files that name an anchor twice, as YAML lets them: the later one counts from there on."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            if not isinstance(event, yaml.AliasEvent):
                self.anchors.pop(getattr(event, "anchor", None), None)
            return super().compose_node(parent, index)

    return Loader


@cache
def _errors() -> tuple[type[Exception], ...]:
    import yaml

    return yaml.YAMLError, ValueError, RecursionError, OverflowError


def _unusable(error: Exception) -> Unusable:
    mark = getattr(error, "problem_mark", None)
    return Unusable(f"it is no valid YAML{f' (line {mark.line + 1})' if mark else ''}")


def _measure(node: Any, sizes: dict[int, int], depth: int) -> int:
    """How many values a node stands for with its aliases written out. Raises ValueError beyond the limit."""
    known = sizes.get(id(node))
    if known is not None:
        return known
    if depth > 100:
        raise ValueError
    sizes[id(node)] = MOST_NODES  # an alias to what it stands in
    size = 1
    if isinstance(node.value, list):
        for part in node.value:
            for child in part if isinstance(part, tuple) else (part,):
                size += _measure(child, sizes, depth + 1)
    if size > MOST_NODES:
        raise ValueError
    sizes[id(node)] = size
    return size


def line_of(data: bytes, path: tuple[str | int, ...], document: int = 0) -> tuple[int, int] | None:
    """First and last line of what is at a path of a document, a mapping entry's from its key; None where there is nothing."""
    import yaml

    try:
        nodes = list(yaml.compose_all(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if document >= len(nodes):
        return None
    node: Any = nodes[document]
    first = node.start_mark.line
    for step in path:
        if isinstance(node, yaml.MappingNode) and isinstance(step, str):
            entry = next(((k, v) for k, v in node.value if k.value == step), None)
            if entry is None:
                return None
            first, node = entry[0].start_mark.line, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            first = node.start_mark.line
        else:
            return None
    last = node.end_mark.line if node.end_mark.column else node.end_mark.line - 1
    return first + 1, max(first, last) + 1


def path_at(data: bytes, first: int, last: int) -> tuple[str | int, ...]:
    """The path of the innermost value that holds these lines (1-based) of a text of one document."""
    import yaml

    try:
        node: Any = yaml.compose(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return ()
    path: tuple[str | int, ...] = ()
    while node is not None:
        for step, start, child in _parts(node):
            end = child.end_mark.line if child.end_mark.column else child.end_mark.line - 1
            if start + 1 <= first and last <= max(start, end) + 1:
                path, node = (*path, step), child
                break
        else:
            return path
        if len(path) > 100:
            return path
    return path


def _parts(node: Any) -> Iterator[tuple[str | int, int, Any]]:
    if node.id == "mapping":
        for key, child in node.value:
            yield str(key.value), key.start_mark.line, child
    elif node.id == "sequence":
        for index, child in enumerate(node.value):
            yield index, child.start_mark.line, child


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""
