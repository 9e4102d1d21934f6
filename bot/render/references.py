"""A folder with a kustomization in; the files that it is made of, and what it refers to that is not among them, out."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from bot.render.charts import Chart
from bot.render.model import KUSTOMIZATIONS, Helm, Unusable, below, documents, items, joined, mapping, text
from bot.render.remote import Remotes, reference, top_of
from bot.render.remote import short as _short
from bot.sources import Files

# Where a kustomization names files, and where it names files or folders
# (https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/).
EITHER = ("resources", "bases", "components", "generators", "transformers", "validators")
_FILES = ("crds", "configurations", "patchesStrategicMerge")
_REMOTE = re.compile(r"^(?:[a-z][a-z0-9+.-]*://|git@|[a-z0-9-]+(?:\.[a-z0-9-]+)+[/:])|\?ref=|//", re.IGNORECASE)
_PLUGINS = ("generators", "transformers", "validators")
# Built in ones that read no file.
_HARMLESS = frozenset(
    f"{name}Transformer"
    for name in (
        "Annotations",
        "Hash",
        "ImageTag",
        "Label",
        "Namespace",
        "Prefix",
        "PrefixSuffix",
        "ReplicaCount",
        "Suffix",
    )
)
_BINARY = "it refers to a file by a binary value"
GENERATORS = ("configMapGenerator", "secretGenerator")
_FIELDS = frozenset(
    (*EITHER, *_FILES, *GENERATORS, "patches", "patchesJson6902", "replacements", "openapi", "buildMetadata")
    + ("helmCharts", "helmChartInflationGenerator", "helmGlobals")
)
_CHART = frozenset(
    (
        "name",
        "version",
        "repo",
        "releaseName",
        "namespace",
        "nameTemplate",
        "valuesFile",
        "additionalValuesFiles",
        "valuesInline",
    )
    + ("valuesMerge", "includeCRDs", "skipHooks", "skipTests", "apiVersions", "kubeVersion", "debug", "devel")
)
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_DEEPEST = 50


class Inputs(NamedTuple):
    """Every file that a root is made of, the links on the way to them, and why it cannot be rendered as it is: (reason, file).

    `folders`: those of which everything counts. `named`: files and folders that must be there, each with the file that says so.
    `dropped`: kustomizations that make ConfigMaps or Secrets of files that nobody fetches. `plugins`: it has configurations of
    plugins, if only of built in ones that may read files. `remote`: what it refers to in other repositories, each with the file that
    says so. `inflated`: it inflates charts.
    """

    files: frozenset[str]
    links: frozenset[str]
    problems: tuple[tuple[str, str], ...] = ()
    folders: frozenset[str] = frozenset()
    named: tuple[tuple[str, str], ...] = ()
    dropped: frozenset[str] = frozenset()
    plugins: bool = False
    remote: tuple[tuple[str, str], ...] = ()
    inflated: bool = False

    def missing(self, files: Files) -> list[tuple[str, str]]:
        """What of it is not there, once everything that was asked for is read."""
        skipped = {unread.file for unread in files.skipped}
        out = []
        for path, file in self.named:
            if path not in files.contents and path not in skipped and path not in files.links:
                there = any(below(path, other) for other in files.contents)
                words = "has no kustomization" if there else "is not there"
                shown = _short(path)
                if top := top_of(path):
                    shown = f"{_short(path[len(top) + 1 :] or '.')} of another repository"
                out.append((f"it refers to {shown}, which {words}" if file else f"{shown} {words}", file))
        if len(out) > 1:
            (reason, file), more = out[0], len(out) - 1
            return [(f"{reason}, and {more} more such", file)]
        return out


def kustomization(files: Files, folder: str) -> str | None:
    """The kustomization of a folder."""
    for name in KUSTOMIZATIONS:
        path = name if folder == "." else f"{folder}/{name}"
        if path in files.contents:
            return path
    return None


def real(path: str, links: Mapping[str, str], used: set[str] | None = None) -> str:
    """A path with the links on its way followed, which are added to `used`."""
    if not links:
        return path
    parts: list[str] = []
    for part in path.split("/"):
        parts.append(part)
        at = "/".join(parts)
        if at in links:
            if used is not None:
                used.add(at)
            parts = links[at].split("/") if links[at] != "." else []
    return "/".join(parts) or "."


def inputs(
    files: Files, folder: str, edits: str = "", generated: bool = False, remotes: Remotes | None = None
) -> Inputs:
    """What a kustomization is made of, its bases and components followed. `edits`, `generated`: see Root. `remotes`: what is fetched."""
    walk = _Walk(files, remotes)
    folder = real(folder, files.links, walk.links)
    walk.folder(folder, 0)
    if generated:
        walk.references(generated_from(files, folder), folder, folder, 0)
    elif kustomization(files, folder) is None:
        walk.named[folder] = ""
    if edits:
        walk.references(mapping(json.loads(edits)), folder, folder, 0)
    problems, named = tuple(dict.fromkeys(walk.problems)), tuple(walk.named.items())
    dropped = frozenset(walk.dropped)
    return Inputs(
        frozenset(walk.found),
        frozenset(walk.links),
        problems,
        frozenset(walk.unknown),
        named,
        dropped,
        walk.plugins,
        tuple(walk.remote),
        walk.inflated,
    )


def generated_from(files: Files, folder: str) -> dict[str, Any]:
    """The kustomization of a folder that has none, as Flux makes it
    (https://fluxcd.io/flux/components/kustomize/kustomizations/#generate-a-kustomizationyaml)."""
    folders = {path.rpartition("/")[0] for path in files.contents if path.rpartition("/")[2] in KUSTOMIZATIONS}
    prefix = "" if folder == "." else folder + "/"
    found: set[str] = set()
    for path, data in files.contents.items():
        if not path.startswith(prefix):
            continue
        at, parts = "", path[len(prefix) :].split("/")
        for part in parts[:-1]:
            at = f"{at}/{part}" if at else part
            if prefix + at in folders:
                found.add(at)
                break
        else:
            if path.endswith((".yaml", ".yml")) and b"apiVersion" in data:
                found.add("/".join(parts))
    return {"resources": sorted(found)}


class _Walk:
    def __init__(self, files: Files, remotes: Remotes | None) -> None:
        self.files = files
        self.remotes = remotes
        self.remote: dict[tuple[str, str], None] = {}
        self.unknown: set[str] = set()
        self.found: set[str] = set()
        self.links: set[str] = set()
        self.named: dict[str, str] = {}
        self.dropped: set[str] = set()
        self.plugins = False
        self.inflated = False
        self.seen: set[str] = set()
        self.problems: list[tuple[str, str]] = []

    def folder(self, folder: str, depth: int) -> None:
        if folder in self.seen:
            return
        self.seen.add(folder)
        file = kustomization(self.files, folder)
        if file is None:
            self.unknown.add(folder)
            return
        self.found.add(file)
        if depth > _DEEPEST:
            self.problems.append(("its bases are nested too deep", file))
            return
        try:
            found = documents(self.files.contents[file])
        except Unusable as error:
            self.problems.append((str(error), file))
            return
        for value in found:
            self.references(mapping(value), folder, file, depth)

    def references(self, value: dict[str, Any], folder: str, file: str, depth: int) -> None:
        self.spelled(value, _FIELDS, file)
        for chart in items(value.get("helmChartInflationGenerator")):
            words = f"it inflates {_short(text(mapping(chart).get('chartName')))} by helmChartInflationGenerator: use helmCharts"
            self.problems.append((words, file))
        for chart in items(value.get("helmCharts")):
            self.chart(mapping(chart), mapping(value.get("helmGlobals")), folder, file)
        for key in EITHER:
            for ref in items(value.get(key)):
                self.reference(ref, folder, file, depth, key)
        for key in _FILES:
            for ref in items(value.get(key)):
                self.file(ref, folder, file)
        for key in ("patches", "patchesJson6902", "replacements"):
            for patch in items(value.get(key)):
                self.spelled(mapping(patch), ("path",), file)
                self.file(mapping(patch).get("path"), folder, file)
        self.spelled(mapping(value.get("openapi")), ("path",), file)
        self.file(mapping(value.get("openapi")).get("path"), folder, file)
        for key in GENERATORS:
            for generator in items(value.get(key)):
                part = mapping(generator)
                self.spelled(part, ("files", "envs", "env"), file)
                for ref in (*items(part.get("files")), *items(part.get("envs")), part.get("env")):
                    if far(ref):
                        self.dropped.add(file)
                    else:
                        self.file(ref.partition("=")[2] or ref if isinstance(ref, str) else ref, folder, file)

    def spelled(self, value: Mapping[Any, Any], fields: Collection[str], file: str) -> None:
        """Kustomize knows its fields in whatever case; what is not as documented would be seen by it and not here."""
        known = {field.casefold() for field in fields}
        for key in value:
            name = key.decode("utf-8", "replace") if isinstance(key, bytes) else key
            if key not in fields and isinstance(name, str) and name.casefold() in known:
                self.problems.append((f"its field {_short(name)} is not spelled as Kustomize documents it", file))

    def reference(self, ref: Any, folder: str, file: str, depth: int, key: str) -> None:
        if isinstance(ref, bytes):
            self.problems.append((_BINARY, file))
        if not isinstance(ref, str) or "\n" in ref:
            if isinstance(ref, str):
                self.plugin(ref.encode("utf-8", "replace"), file)
            return
        at = self.place(folder, ref)
        if at is not None and at in self.files.contents:
            self.found.add(at)
            if key in _PLUGINS:
                self.plugin(self.files.contents[at], at)
        elif at is not None and kustomization(self.files, at):
            self.plugins |= key in _PLUGINS
            self.folder(at, depth + 1)
        elif _REMOTE.search(ref) and key in _PLUGINS:
            self.problems.append((f"its plugin {_short(ref)} is remote, and none is fetched", file))
        elif _REMOTE.search(ref):
            self.remote[ref, file] = None
            self.fetched(ref, file, depth)
        elif at is None:
            self.problems.append((f"it refers to {_short(ref)}, which is outside of the repository", file))
        else:
            # A file or a folder of any name: read in the next round if it is there.
            self.found.add(at)
            self.unknown.add(at)
            self.named.setdefault(at, file)

    def chart(self, chart: dict[str, Any], globals_: dict[str, Any], folder: str, file: str) -> None:
        """A chart that Kustomize inflates (https://kubectl.docs.kubernetes.io/references/kustomize/builtins/#_helmchartinflationgenerator_)."""
        from bot.render import helm

        name, version = text(chart.get("name")), text(chart.get("version"))
        title = f"the Helm chart {_short(name or 'without a name')} (helmCharts)"
        if self.remotes is None or "helm" not in self.remotes.plugins:
            words = f"it inflates {title}, which needs --enable-helm and is not done unless render.plugins names helm"
            self.problems.append((words, file))
            return
        self.spelled(chart, _CHART, file)
        self.spelled(globals_, ("chartHome", "configHome"), file)
        # Helm would take for a flag what begins with a dash.
        given = [text(chart.get(key)) for key in ("releaseName", "namespace", "nameTemplate", "kubeVersion")]
        given += [part if isinstance(part, str) else "-" for part in items(chart.get("apiVersions"))]
        place = self.place(folder, chart_place(chart, globals_))
        reason = ""
        if (
            not _PLAIN.fullmatch(name)
            or not (_PLAIN.fullmatch(version) or not version)
            or any(part.startswith("-") for part in given)
        ):
            reason = "has a name or a setting that is none"
        elif "configHome" in globals_ or chart.keys() - _CHART:
            reason = "has settings that are not passed on"
        elif not text(chart.get("releaseName")):
            reason = "has no releaseName, and would be another one each time"
        elif place is None:
            reason = "is outside of the repository"
        if reason or place is None:
            self.problems.append((f"{title} {reason}", file))
            return
        self.inflated = True
        for ref in (chart.get("valuesFile"), *items(chart.get("additionalValuesFiles"))):
            self.file(ref, folder, file)
        chart_file = f"{place}/Chart.yaml"
        if text(chart.get("repo")) and chart_file not in self.files.contents:
            wanted = Chart(text(chart.get("repo")), name, version).written
            self.remote[wanted, file] = None
            path = self.remotes.path(wanted)
            if path is None:
                return
            chart_file, place = f"{path}/Chart.yaml", path
            if chart_file not in self.files.contents:
                self.found.add(chart_file)
                return
        found = helm.inputs(self.files, place, Helm(name))
        self.found |= found.files
        self.links |= found.links
        self.unknown |= found.folders | {place}
        self.found.add(chart_file)
        self.named.setdefault(chart_file, file)
        self.problems += [(reason, file) for reason, of in found.problems if of in self.files.contents]

    def fetched(self, ref: str, file: str, depth: int) -> None:
        path = None if self.remotes is None else self.remotes.path(ref)
        if path is None or self.remotes is None:
            return
        at = real(path, self.files.links, self.links)
        if at not in self.files.contents and kustomization(self.files, at):
            self.folder(at, depth + 1)
            return
        self.found.add(at)
        if at in self.files.contents and not reference(ref).file:
            self.problems.append((f"its base {_short(ref)} is a file, where Kustomize wants a folder", file))
            return
        self.unknown.add(at)
        if self.remotes.here(ref):
            self.named.setdefault(at, file)

    def place(self, folder: str, ref: str) -> str | None:
        """Where a reference leads, links followed; None: out of the repository, or into or out of what was fetched."""
        path = joined(folder, ref)
        at = None if path is None else real(path, self.files.links, self.links)
        return at if at is not None and top_of(at) == top_of(folder) else None

    def file(self, ref: Any, folder: str, file: str) -> None:
        if isinstance(ref, bytes):
            self.problems.append((_BINARY, file))
        if not isinstance(ref, str) or "\n" in ref or not ref:
            return
        at = self.place(folder, ref)
        if _REMOTE.search(ref) and (at is None or at not in self.files.contents):
            self.problems.append((f"it refers to {_short(ref)}, and nothing is fetched: keep a copy of it here", file))
        elif at is None:
            self.problems.append((f"it refers to {_short(ref)}, which is outside of the repository", file))
        else:
            self.found.add(at)
            self.named.setdefault(at, file)

    def plugin(self, data: bytes, file: str) -> None:
        try:
            found = documents(data)
        except Unusable:
            self.plugins = True
            return
        for value in found:
            part = mapping(value)
            self.plugins |= part.get("kind") not in _HARMLESS
            if part.get("kind") == "HelmChartInflationGenerator":
                self.problems.append(("it has a HelmChartInflationGenerator of its own: use helmCharts", file))
                continue
            version = text(part.get("apiVersion"))
            annotations = mapping(mapping(part.get("metadata")).get("annotations"))
            if "config.kubernetes.io/function" in annotations or (version and not version.startswith("builtin")):
                kind = _short(text(part.get("kind")) or "a plugin")
                self.problems.append((f"it needs the plugin or function {kind}, and none is run", file))


def chart_place(chart: dict[str, Any], globals_: dict[str, Any]) -> str:
    """Where Kustomize looks for a chart, from the folder of the kustomization."""
    home, name = text(globals_.get("chartHome")) or "charts", text(chart.get("name"))
    several = text(chart.get("version")) and text(chart.get("repo"))
    return f"{home}/{name}-{chart['version']}/{name}" if several else f"{home}/{name}"


def far(ref: Any) -> bool:
    """Whether a file of a generator is elsewhere: `key=https://...`, or the address alone."""
    return isinstance(ref, str) and bool(re.match(r"(?:[^=/:]+=)?https?://", ref, re.IGNORECASE))


def leaves(files: Files) -> list[str]:
    """The folders with a kustomization that no other one builds on, without components, in order."""
    folders = {path.rpartition("/")[0] or "." for path in files.contents if path.rpartition("/")[2] in KUSTOMIZATIONS}
    uses: dict[str, set[str]] = {}
    others: set[str] = set()
    for folder in folders:
        file = kustomization(files, folder)
        assert file is not None
        uses[folder] = set()
        try:
            found = [mapping(value) for value in documents(files.contents[file])]
        except Unusable:
            continue
        for value in found:
            if value.get("kind") == "Component":
                others.add(folder)
            if text(value.get("apiVersion")).startswith("kustomize.toolkit.fluxcd.io"):
                others.add(folder)
            for key in EITHER:
                for ref in items(value.get(key)):
                    if isinstance(ref, str) and (path := joined(folder, ref)):
                        uses[folder].add(real(path, files.links))
    used = {path for folder, paths in uses.items() for path in paths if path != folder}
    out = sorted(folders - used - others)
    reached: set[str] = set()
    # Those that are built on in a circle alone are of no leaf: the first of each stands for it.
    for folder in (*out, *sorted(folders - others)):
        if folder not in reached and folder not in out:
            out.append(folder)
        waiting = [folder]
        while waiting:
            at = waiting.pop()
            if at not in reached:
                reached.add(at)
                waiting += uses.get(at, ())
    return sorted(out)
