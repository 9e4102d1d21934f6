"""A side's files in; everything that is deployed from them, each with the cluster it goes to, out."""

from __future__ import annotations

import re
from typing import Protocol

from bot.render import argocd, flux, helm, references
from bot.render.model import (
    KUSTOMIZATIONS,
    Helm,
    Options,
    Root,
    Unusable,
    below,
    clean,
    items,
    joined,
    mapping,
    text,
    under,
)
from bot.render.remote import Remotes
from bot.sources import Files
from bot.sources.remote import address


class Configured(Protocol):
    """What the config says is rendered for an environment (bot.config.Rendered)."""

    @property
    def tool(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def release(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def values(self) -> tuple[str, ...]: ...
    @property
    def parameters(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def kube_version(self) -> str: ...
    @property
    def api_versions(self) -> tuple[str, ...]: ...


TOP = "default"
_NONE = Options()
_VALUES = re.compile(r"(?:^|/)(?:values[-._](?P<after>[\w.-]+)|(?P<before>[\w.-]+)[-._]values)\.ya?ml$")


def discover(files: Files, options: Options = _NONE) -> tuple[list[Root], list[str]]:
    """What Argo CD and Flux objects deploy from this repository; then the leaf kustomizations and the charts that they leave.

    Notes are on what cannot be told from the repository.
    """
    remotes = Remotes(tuple(map(address, options.remote)), options.plugins)
    applications, notes = argocd.roots(files, options.clusters, remotes)
    applied, more = flux.roots(files, remotes)
    found, notes = applications + applied, notes + more
    paths = {root.path for root in found if not root.refused}
    used = {path for root in found if root.tool == "kustomize" and not root.refused for path in _files(files, root)}
    trees = {root.path for root in found if root.tool == "plain" and root.recurse}
    for folder in references.leaves(files):
        file = references.kustomization(files, folder) or folder
        if folder not in paths and file not in used and not _within(file, trees):
            found.append(Root(folder, TOP if folder == "." else folder, "kustomize", folder, file))
    if "helm" in options.plugins:
        used |= {path for root in found if root.tool == "kustomize" for path in _files(files, root, options)}
    found += [root for root in charts(files) if root.path not in paths and root.file not in used]
    return [options.capable(root) for root in found], notes


def _files(files: Files, root: Root, options: Options = _NONE) -> frozenset[str]:
    return references.inputs(files, root.path, root.edits, root.generated, Remotes(plugins=options.plugins)).files


def charts(files: Files) -> list[Root]:
    """Every chart that no other one brings along, once for each of its environments' values files."""
    folders = sorted(
        path.rpartition("/")[0] or "." for path in files.contents if path.rpartition("/")[2] == "Chart.yaml"
    )
    inner: set[str] = set()
    known: dict[str, dict[str, object]] = {}
    for folder in folders:
        try:
            known[folder] = helm.chart(files, folder)
        except Unusable:
            known[folder] = {}
        for dependency in map(mapping, items(known[folder].get("dependencies"))):
            repository = text(dependency.get("repository"))
            if repository.startswith("file://"):
                inner.add(joined(folder, repository.removeprefix("file://")) or "")
    out: list[Root] = []
    for folder in folders:
        parent, _, _ = folder.rpartition("/")
        if folder in inner or known[folder].get("type") == "library":
            continue
        if parent.rpartition("/")[2] == "charts" and (parent.rpartition("/")[0] or ".") in known:
            continue
        if any("{{" in part for part in folder.split("/")):
            continue
        name = text(known[folder].get("name")) or folder.rpartition("/")[2]
        title = TOP if folder == "." else folder
        file = "Chart.yaml" if folder == "." else f"{folder}/Chart.yaml"
        base = Root(name, title, "helm", folder, file, namespace="default", helm=Helm(name))
        several = [path for path in sorted(files.contents) if _is_values(path, folder)]
        out += [
            base._replace(
                environment=f"{title} ({path[len(folder) + 1 :] if folder != '.' else path})",
                helm=Helm(name, (("file", path),)),
            )
            for path in several
        ] or [base]
    return out


def _is_values(path: str, folder: str) -> bool:
    """A values file of one environment: beside values.yaml, or in a folder for such files."""
    if not below(folder, path) or not _VALUES.search(path):
        return False
    parts = (path if folder == "." else path[len(folder) + 1 :]).split("/")[:-1]
    return not parts or parts in (["values"], ["environments"], ["envs"])


def configured(name: str, one: Configured, file: str, options: Options = _NONE) -> Root:
    """The root that the config (`file`) says to render for the environment of a name."""
    path = clean(one.path)
    setting = f"environments.{name}.render"
    if one.tool != "helm":
        root = Root(name, name, one.tool, path, file, one.line, setting=setting)
    else:
        release = one.release or (path.rpartition("/")[2] if path != "." else name)
        values = tuple(("file", clean(value)) for value in one.values)
        parameters = tuple((key, value, False) for key, value in one.parameters)
        helm = Helm(release, values, parameters, one.kube_version, one.api_versions)
        namespace = one.namespace or "default"
        root = Root(release, name, "helm", path, file, one.line, namespace, helm, setting=setting)
    root = options.capable(root)._replace(named=True)
    if ".." in (path, *(clean(value) for value in one.values)):
        return root._replace(refused="it is outside of the repository")
    return root


def plain(files: Files, roots: list[Root], used: frozenset[str]) -> Files:
    """The manifests outside of everything that is rendered, of charts, and of kustomizations' folders. `used`: what roots are made of."""
    folders = {path.rpartition("/")[0] for path in files.contents if path.rpartition("/")[2] in KUSTOMIZATIONS}
    trees = {path.rpartition("/")[0] or "." for path in files.contents if path.rpartition("/")[2] == "Chart.yaml"}
    trees |= {root.path for root in roots if root.tool == "plain" and root.path != "."}

    def kept(path: str) -> bool:
        return path not in used and path.rpartition("/")[0] not in folders and not _within(path, trees)

    contents = {path: data for path, data in files.contents.items() if kept(path)}
    return files._replace(contents=contents, skipped=[unread for unread in files.skipped if kept(unread.file)])


def _within(path: str, trees: set[str]) -> bool:
    if "." in trees:
        return True
    at = path
    while at := at.rpartition("/")[0]:
        if at in trees:
            return True
    return False


def plain_files(files: Files, root: Root, endings: tuple[str, ...] = (".yaml", ".yml", ".json")) -> dict[str, bytes]:
    """The manifests of a root that is a folder of plain YAML, as Argo CD's directory source and Flux read it."""
    from fnmatch import fnmatchcase

    prefix = "" if root.path == "." else root.path + "/"
    out = {}
    for path in under(files.contents, root.path):
        name, data = path[len(prefix) :], files.contents[path]
        if "/" in name and not root.recurse:
            continue
        if root.include and not any(fnmatchcase(name, glob) for glob in root.include):
            continue
        if any(fnmatchcase(name, glob) for glob in root.exclude) or not path.endswith(endings):
            continue
        out[path] = data
    return out
