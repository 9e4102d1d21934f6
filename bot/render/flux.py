"""Flux Kustomizations and HelmReleases of a side in, what they deploy from this repository out.

Fields: https://fluxcd.io/flux/components/kustomize/kustomizations/ and https://fluxcd.io/flux/components/helm/helmreleases/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.render.charts import Chart
from bot.render.gitops import Declared, declared, folders_of, own_url, plain_url
from bot.render.model import KUSTOMIZATIONS, Helm, Root, Unusable, apart, below, clean, items, mapping, text
from bot.render.patching import patched
from bot.render.references import inputs, kustomization
from bot.render.remote import Remotes
from bot.sources import Files

LEFT = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)")
_VARIABLE = re.compile(r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)(?:(:=|:-|-|=)([^{}$]*))?\}")


def roots(files: Files, remotes: Remotes | None = None) -> tuple[list[Root], list[str]]:
    """What every Kustomization and HelmRelease deploys, and notes on what cannot be told from the repository. `remotes`: what may be
    fetched."""
    notes: list[str] = []
    folders = folders_of(files)
    found = declared(files, b"kustomize.toolkit.fluxcd.io/", ("Kustomization",), notes)
    releases = declared(files, b"helm.toolkit.fluxcd.io/", ("HelmRelease",), notes)
    here = _here(found, files, folders)
    told: dict[str, None] = {}
    now, tree = found, _tree(found, files, folders, here)
    for _ in range(_ROUNDS):
        # What a Kustomization patches and fills in may change what its children bring in turn.
        again = [one for one in (tree.applied(one, files, told) for one in found) if one is not None]
        if again == now:
            break
        now, tree = again, _tree(again, files, folders, here)
    kept = tree.kept
    out = [_root(one, tree.cluster(at), tree.maps(at, files), files) for at, one in enumerate(kept)]
    releases = [one for one in (tree.applied(one, files, told) for one in releases) if one is not None]
    sources = declared(files, b"source.toolkit.fluxcd.io/", ("HelmRepository", "OCIRepository"))
    sources = [one for one in (tree.applied(one, files, told) for one in sources) if one is not None]
    notes += told
    unheld = 0
    for release in releases:
        # A release that a Kustomization of this repository brings belongs to that one's cluster.
        owner = tree.holder(release.file)
        if owner is None and tree.whole:
            unheld += 1
        else:
            cluster = "Helm releases" if owner is None else out[owner].environment
            out.append(_release(release, cluster, folders, here, sources, remotes or Remotes()))
    if unheld:
        words = "HelmRelease is" if unheld == 1 else "HelmReleases are"
        notes.append(f"{unheld} {words} applied by no Kustomization of this repository, and not looked at")
    return out, notes


def _here(found: list[Declared], files: Files, folders: set[str]) -> Callable[[Declared], bool]:
    """Whether the source of an object is this repository: what no GitRepository says to be another one."""
    urls: dict[tuple[str, str], str] = {}
    for one in declared(files, b"source.toolkit.fluxcd.io/", ("GitRepository",)):
        urls.setdefault((one.namespace, one.name), text(one.spec.get("url")))

    def url(one: Declared, source: dict[str, Any]) -> str:
        name = text(source.get("name"))
        exact = urls.get((text(source.get("namespace")) or one.namespace, name))
        return exact or next((value for (_, of), value in urls.items() if of == name), "")

    pairs = [
        (url(one, mapping(one.spec.get("sourceRef"))), text(one.spec.get("path")))
        # What `flux bootstrap` writes comes first: it is how this repository came to be applied.
        for one in sorted(found, key=lambda one: mapping(one.spec.get("sourceRef")).get("name") != "flux-system")
    ]
    own = own_url(pairs, folders)

    def here(one: Declared) -> bool:
        source = mapping(one.spec.get("sourceRef")) or mapping(
            mapping(mapping(one.spec.get("chart")).get("spec")).get("sourceRef")
        )
        if text(source.get("kind")) not in ("", "GitRepository"):
            return False
        named = url(one, source)
        return not named or own is None or plain_url(named) == own

    return here


_ROUNDS = 5


def _tree(found: list[Declared], files: Files, folders: set[str], here: Callable[[Declared], bool]) -> _Tree:
    kept = [one for one in found if here(one) and clean(text(one.spec.get("path"))) in folders]
    brought = {path: _brought(path, files) for path in {clean(text(one.spec.get("path"))) for one in kept}}
    return _Tree(kept, brought)


class _Tree:
    """Which Kustomization brings which. `whole`: one of them brings itself, as `flux bootstrap` makes it."""

    def __init__(self, kept: list[Declared], brought: Mapping[str, frozenset[str]]) -> None:
        self.kept = kept
        self.known: dict[int, dict[str, dict[str, str]]] = {}
        self.paths = [clean(text(one.spec.get("path"))) for one in kept]
        self.brought = [brought[path] for path in self.paths]
        self.parents = [self.holder(one.file, at) for at, one in enumerate(kept)]
        self.whole = any(
            parent is None and one.file in held
            for one, parent, held in zip(kept, self.parents, self.brought, strict=True)
        )

    def holder(self, file: str, beside: int | None = None) -> int | None:
        """The nearest that brings a file: one of a whole folder brings what those within it do."""
        holders = [at for at, held in enumerate(self.brought) if at != beside and file in held]
        return min(holders, key=lambda at: (len(self.brought[at]), self.paths[at], at)) if holders else None

    def above(self, at: int) -> list[int]:
        """One and those that it is reached from, the topmost last."""
        out = [at]
        while (parent := self.parents[out[-1]]) is not None and parent not in out:
            out.append(parent)
        return out

    def cluster(self, at: int) -> str:
        """The folder of the topmost one that it is reached from, or where that was written that nothing brings."""
        top = self.above(at)[-1]
        if self.kept[top].file in self.brought[top]:
            return self.paths[top]
        return self.kept[top].file.rpartition("/")[0] or self.paths[top]

    def applied(self, one: Declared, files: Files, told: dict[str, None]) -> Declared | None:
        """A Flux object as the Kustomization that brings it applies it; None: it does not. `told` gains what is not understood."""
        at = next(
            (
                at
                for at, own in enumerate(self.kept)
                if (own.file, own.line, own.name) == (one.file, one.line, one.name)
            ),
            None,
        )
        parent = self.holder(one.file, at if one.kind == "Kustomization" else None)
        if parent is None:
            return one
        spec, value = self.kept[parent].spec, one.value
        if not spec.get("patches") and not spec.get("postBuild"):
            return one
        try:
            value = patched(value, spec.get("patches"))
        except Unusable as error:
            where = f"{self.kept[parent].file}:{self.kept[parent].line}"
            told[
                f"{where}: Kustomization {self.kept[parent].name}: {error}; {one.kind} {one.name} is looked at without them"
            ] = None
        except ValueError:
            return None
        known, _ = _variables(spec, self.maps(parent, files))
        if known is not None:
            value = _filled(value, known)
        return one if value is one.value else one._replace(value=value)

    def maps(self, at: int, files: Files) -> dict[str, dict[str, str]]:
        """The ConfigMaps that it may take values from, by name: those that the same cluster applies."""
        if not items(mapping(self.kept[at].spec.get("postBuild")).get("substituteFrom")):
            return {}
        if at in self.known:
            return self.known[at]
        held = frozenset().union(*(self.brought[one] for one in self.above(at)))
        out: dict[str, dict[str, str]] = {}
        for file in sorted(held):
            data = files.contents.get(file, b"")
            if b"ConfigMap" in data and b"data" in data:
                for value, _ in apart(data)[0]:
                    part = mapping(value)
                    if part.get("kind") == "ConfigMap" and (name := text(mapping(part.get("metadata")).get("name"))):
                        out.setdefault(name, {str(key): str(v) for key, v in mapping(part.get("data")).items()})
        self.known[at] = out
        return out


def _brought(path: str, files: Files) -> frozenset[str]:
    """The files that a Kustomization of a folder applies."""
    if kustomization(files, path) is not None:
        return inputs(files, path).files
    return frozenset(file for file in files.contents if below(path, file))


def _root(one: Declared, cluster: str, maps: Mapping[str, Mapping[str, str]], files: Files) -> Root:
    spec = one.spec
    path = clean(text(spec.get("path")))
    target = text(spec.get("targetNamespace"))
    edits: dict[str, Any] = {}
    for key, field in (("targetNamespace", "namespace"), ("namePrefix", "namePrefix"), ("nameSuffix", "nameSuffix")):
        if text(spec.get(key)):
            edits[field] = spec[key]
    for key in ("patches", "components"):
        if items(spec.get(key)):
            edits[key] = spec[key]
    labels = mapping(mapping(spec.get("commonMetadata")).get("labels"))
    if labels:
        edits["labels"] = [{"pairs": labels, "includeSelectors": False}]
    root = Root(one.name, cluster, "kustomize", path, one.file, one.line, target or None)
    known, missing = _variables(spec, maps)
    root = root._replace(variables=known, unknown=missing)
    bare = kustomization(files, path) is None
    if bare and not edits and not _nested(path, files):
        return root._replace(tool="plain", recurse=True)
    return root._replace(
        generated=bare, loose=True, edits=json.dumps(edits, sort_keys=True, default=str) if edits else ""
    )


def _variables(
    spec: dict[str, Any], maps: Mapping[str, Mapping[str, str]]
) -> tuple[tuple[tuple[str, str], ...] | None, tuple[str, ...]]:
    """What a Kustomization puts in place of `${NAME}` (None: nothing; '' is among it where that is all); the objects that hold the rest."""
    build = mapping(spec.get("postBuild"))
    if not build:
        return None, ()
    given: dict[str, str] = {}
    missing: list[str] = []
    for source in map(mapping, items(build.get("substituteFrom"))):
        kind, name = text(source.get("kind")) or "ConfigMap", text(source.get("name"))
        known = maps.get(name) if kind == "ConfigMap" else None
        if known is None and (kind == "Secret" or source.get("optional") is not True):
            missing.append(f"{kind} {name}")
        given |= known or {}
    given |= {str(key): str(value) for key, value in mapping(build.get("substitute")).items()}
    return (*sorted(given.items()), *(() if missing else (("", ""),))), tuple(missing)


def _filled(value: Any, variables: tuple[tuple[str, str], ...]) -> Any:
    """An object with its variables put in; itself where it has none."""
    written = json.dumps(value, default=str, sort_keys=True)
    if "${" not in written:
        return value
    if isinstance(value, dict):
        about = mapping(value.get("metadata"))
        marks = {**mapping(about.get("labels")), **mapping(about.get("annotations"))}
        if marks.get("kustomize.toolkit.fluxcd.io/substitute") == "disabled":
            return value
        return {key: _filled(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, variables) for item in value]
    return substitute(value, variables) if isinstance(value, str) else value


def _nested(path: str, files: Files) -> bool:
    return any(below(path, file) and file.rpartition("/")[2] in KUSTOMIZATIONS for file in files.contents)


def _release(
    one: Declared,
    cluster: str,
    folders: set[str],
    here: Callable[[Declared], bool],
    sources: Sequence[Declared],
    remotes: Remotes,
) -> Root:
    spec = one.spec
    chart = mapping(mapping(spec.get("chart")).get("spec"))
    path = clean(text(chart.get("chart")))
    target = text(spec.get("targetNamespace"))
    namespace = target or one.namespace or None
    name = text(spec.get("releaseName")) or (f"{target}-{one.name}" if target else one.name)
    root = Root(one.name, cluster, "helm", path, one.file, one.line, namespace)
    wanted = _wanted(one, chart, sources)
    if wanted is not None:
        place, problem = remotes.path(wanted.written), remotes.problem(wanted.written)
        if place is None or problem is not None:
            words, setting = problem or ("its chart is not in this repository", None)
            return root._replace(path=".", refused=words, setting=setting)
        root, path = root._replace(path=place, chart=wanted.written), place
    elif text(mapping(chart.get("sourceRef")).get("kind")) != "GitRepository" or not here(one) or path not in folders:
        what = text(chart.get("chart")) or text(mapping(spec.get("chartRef")).get("name"))
        named = f"the chart {what[:80]!a}" if what else "its chart"
        words = f"{named} is not in this repository, and nothing is fetched"
        return root._replace(path=".", refused=words, setting="--context")
    if items(spec.get("valuesFrom")):
        return root._replace(refused="it takes values from objects of the cluster (valuesFrom)", setting="--context")
    try:
        root = root._replace(rendered=tuple(map(_renderer, items(spec.get("postRenderers")))))
    except Unusable as error:
        return root._replace(refused=str(error))
    # In a chart of a repository they are the chart's own.
    prefix = f"{path}/" if root.chart else ""
    values = [("file", clean(prefix + text(file))) for file in items(chart.get("valuesFiles"))]
    if mapping(spec.get("values")):
        values.append(("text", json.dumps(spec["values"], default=str)))
    return root._replace(helm=Helm(name, tuple(values)))


def _renderer(value: Any) -> str:
    """What one post renderer does, as a kustomization. Raises Unusable."""
    made = mapping(mapping(value).get("kustomize"))
    out: dict[str, Any] = {}
    for key, inner in (
        ("patches", ("patch", "target", "options")),
        ("images", ("name", "newName", "newTag", "digest")),
    ):
        if key in made:
            out[key] = [{name: part[name] for name in inner if name in part} for part in map(mapping, items(made[key]))]
    if made.keys() - out.keys() or mapping(value).keys() - {"kustomize"}:
        raise Unusable("it has a postRenderer with more than patches and images of kustomize, which is not run")
    return json.dumps(out, sort_keys=True, default=str)


def _wanted(one: Declared, chart: dict[str, Any], sources: Sequence[Declared]) -> Chart | None:
    """The chart of a repository or a registry that a release names, as far as the source it is from is here."""
    named = mapping(one.spec.get("chartRef")) or mapping(chart.get("sourceRef"))
    kind, name = text(named.get("kind")), text(named.get("name"))
    folder = one.file.rpartition("/")[0]

    def far(source: Declared) -> tuple[bool, bool]:
        return source.namespace != (text(named.get("namespace")) or one.namespace), source.file.rpartition("/")[
            0
        ] != folder

    found = sorted((source for source in sources if source.kind == kind and source.name == name), key=far)
    # A namespace that the kustomization sets is not in the files: of several that are as near none is known to be meant.
    if not found or any(far(source) == far(found[0]) and source.spec != found[0].spec for source in found):
        return None
    url = text(found[0].spec.get("url"))
    if kind == "HelmRepository":
        return Chart(url, text(chart.get("chart")), text(chart.get("version")))
    # Of a registry it is the chart itself.
    ref = mapping(found[0].spec.get("ref"))
    registry, _, last = url.rstrip("/").rpartition("/")
    return Chart(registry, last, text(ref.get("tag")) if ref.keys() <= {"tag"} else "")


def substitute(document: str, variables: tuple[tuple[str, str], ...]) -> str:
    """What `postBuild` makes of a rendered object; a name that is not known stays, unless all of them are ('' is among them)."""
    known = dict(variables)
    whole = "" in known
    if "kustomize.toolkit.fluxcd.io/substitute: disabled" in document:
        return document

    def put(found: re.Match[str]) -> str:
        escaped, name, operator, default = found[1], found[2], found[3], found[4]
        if escaped:
            return found[0][1:]
        value = known.get(name)
        if value or (value is not None and operator in (None, "-", "=")):
            return value
        if not whole and value is None:
            return found[0]
        return default or ""

    return _VARIABLE.sub(put, document)
