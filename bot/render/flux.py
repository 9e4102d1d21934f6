"""Flux Kustomizations and HelmReleases of a side in, what they deploy from this repository out.

Fields: https://fluxcd.io/flux/components/kustomize/kustomizations/ and https://fluxcd.io/flux/components/helm/helmreleases/.
"""

from __future__ import annotations

import json
import re
from typing import Any

from bot.render.gitops import Declared, clean, declared, folders_of
from bot.render.kustomize import inputs, kustomization
from bot.render.model import Helm, Root, below, items, mapping, text
from bot.sources import Files

_VARIABLE = re.compile(r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)(?:(:=|:-|-|=)([^{}$]*))?\}")


def roots(files: Files) -> list[Root]:
    """What every Kustomization and HelmRelease deploys."""
    found = declared(files, b"kustomize.toolkit.fluxcd.io/", ("Kustomization",))
    folders = folders_of(files)
    kept = [one for one in found if text(mapping(one.spec.get("sourceRef")).get("kind")) in ("", "GitRepository")]
    kept = [one for one in kept if clean(text(one.spec.get("path"))) in folders]
    clusters = _clusters(kept, files)
    out = [_root(one, cluster, files) for one, cluster in zip(kept, clusters, strict=True)]
    brought = {root.path: _brought(root.path, files) for root in out}
    for release in declared(files, b"helm.toolkit.fluxcd.io/", ("HelmRelease",)):
        # A release that a Kustomization of this repository brings belongs to that one's cluster.
        owners = [at for at, one in enumerate(kept) if release.file in brought[out[at].path]]
        nearest = min(owners, key=lambda at: (len(brought[out[at].path]), at)) if owners else None
        cluster = "flux" if nearest is None else out[nearest].environment
        out.append(_release(release, cluster, folders))
    return out


def _clusters(found: list[Declared], files: Files) -> list[str]:
    """The cluster of each: the folder of the topmost Kustomization that it is reached from."""
    paths = [clean(text(one.spec.get("path"))) for one in found]
    brought = {path: _brought(path, files) for path in set(paths)}
    parents: list[int | None] = []
    for index, one in enumerate(found):
        holders = [at for at, path in enumerate(paths) if at != index and one.file in brought[path]]
        # The nearest, as a Kustomization of a whole folder holds what those within it hold.
        parents.append(min(holders, key=lambda at: (len(brought[paths[at]]), paths[at], at)) if holders else None)
    out = []
    for index in range(len(found)):
        at, seen = index, {index}
        while (parent := parents[at]) is not None and parent not in seen:
            seen.add(parent)
            at = parent
        out.append(paths[at])
    return out


def _brought(path: str, files: Files) -> frozenset[str]:
    """The files that a Kustomization of a folder applies."""
    if kustomization(files, path) is not None:
        return inputs(files, path).files
    return frozenset(file for file in files.contents if below(path, file))


def _root(one: Declared, cluster: str, files: Files) -> Root:
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
    build = mapping(spec.get("postBuild"))
    if build:
        given = {str(key): str(value) for key, value in mapping(build.get("substitute")).items()}
        whole = not items(build.get("substituteFrom"))
        root = root._replace(variables=(*sorted(given.items()), *((("", ""),) if whole else ())))
    if kustomization(files, path) is None:
        return root._replace(tool="plain", recurse=True, edits="")
    return root._replace(edits=json.dumps(edits, sort_keys=True, default=str) if edits else "")


def _release(one: Declared, cluster: str, folders: set[str]) -> Root:
    spec = one.spec
    chart = mapping(mapping(spec.get("chart")).get("spec"))
    path = clean(text(chart.get("chart")))
    target = text(spec.get("targetNamespace"))
    namespace = target or one.namespace or None
    name = text(spec.get("releaseName")) or (f"{target}-{one.name}" if target else one.name)
    root = Root(one.name, cluster, "helm", path, one.file, one.line, namespace)
    if text(mapping(chart.get("sourceRef")).get("kind")) != "GitRepository" or path not in folders:
        what = text(chart.get("chart")) or text(mapping(spec.get("chartRef")).get("name")) or "of this release"
        words = f"the chart {what[:80]!a} comes from a registry, and nothing is fetched"
        return root._replace(path=".", refused=words, setting="--context")
    if items(spec.get("valuesFrom")):
        return root._replace(refused="it takes values from objects of the cluster (valuesFrom)", setting="--context")
    if items(spec.get("postRenderers")):
        return root._replace(refused="it has postRenderers, which are not run")
    values = [("file", clean(text(file))) for file in items(chart.get("valuesFiles"))]
    if mapping(spec.get("values")):
        values.append(("text", json.dumps(spec["values"], default=str)))
    return root._replace(helm=Helm(name, tuple(values)))


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
