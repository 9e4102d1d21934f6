"""Argo CD Applications and ApplicationSets of a side in, what they deploy from this repository out.

Fields: https://argo-cd.readthedocs.io/en/stable/operator-manual/application-specification/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from bot.render.applicationset import MOST_APPLICATIONS, generated
from bot.render.charts import Chart
from bot.render.gitops import Declared, declared, folders_of, own_url, plain_url
from bot.render.model import Cluster, Helm, Root, clean, items, joined, mapping, text
from bot.render.references import kustomization
from bot.render.remote import Remotes
from bot.sources import Files

IN_CLUSTER = "https://kubernetes.default.svc"


def roots(
    files: Files, clusters: Sequence[Cluster] = (), remotes: Remotes | None = None
) -> tuple[list[Root], list[str]]:
    """What every Application deploys, and notes on what cannot be told from the repository. `clusters`: those that Argo CD knows;
    `remotes`: what may be fetched."""
    notes: list[str] = []
    found = declared(files, b"argoproj.io/", ("Application", "ApplicationSet"), notes)
    applications: list[Declared] = []
    for one in found:
        if one.kind == "Application":
            applications.append(one)
        else:
            made, note = generated(one, files, clusters)
            applications += made
            notes += [note] if note else []
    folders = folders_of(files)
    pairs = [
        (text(source.get("repoURL")), text(source.get("path"))) for one in applications for source in _sources(one.spec)
    ]
    own = own_url(pairs, folders)
    out: list[Root] = []
    for one in applications[:MOST_APPLICATIONS]:
        out += _roots(one, files, folders, own, remotes or Remotes())
    return _clusters(out), notes


def _sources(spec: dict[str, Any]) -> list[dict[str, Any]]:
    sources = [mapping(source) for source in items(spec.get("sources"))] or [mapping(spec.get("source"))]
    dry = mapping(mapping(spec.get("sourceHydrator")).get("drySource"))
    return [dry] if dry else [source for source in sources if source]


def _roots(one: Declared, files: Files, folders: set[str], own: str | None, remotes: Remotes) -> Iterator[Root]:
    destination = mapping(one.spec.get("destination"))
    server = text(destination.get("name")) or text(destination.get("server")) or IN_CLUSTER
    cluster = "in-cluster" if server == IN_CLUSTER else server
    namespace = text(destination.get("namespace")) or None
    refs = {text(s.get("ref")): plain_url(text(s.get("repoURL"))) for s in _sources(one.spec) if text(s.get("ref"))}
    here = {name for name, url in refs.items() if url == own}
    sources = _sources(one.spec)
    for source in sources:
        path = clean(text(source.get("path")))
        base = Root(one.name, cluster, "plain", path, one.file, one.line, namespace)
        if text(source.get("chart")):
            # An address without a scheme is a registry's here.
            url = text(source.get("repoURL"))
            url = url if "://" in url else f"oci://{url}"
            wanted = Chart(url, text(source.get("chart")), text(source.get("targetRevision")))
            place, problem = remotes.path(wanted.written), remotes.problem(wanted.written)
            if place is not None:
                there = base._replace(path=place, chart=wanted.written)
                yield _chart(there, one, mapping(source.get("helm")), here)
            elif problem and (plain_url(text(source.get("repoURL"))) == own or here or len(sources) == 1):
                yield base._replace(tool="helm", path=".", refused=problem[0], setting=problem[1])
            continue
        if not text(source.get("path")) or plain_url(text(source.get("repoURL"))) != own:
            continue
        if path == ".." or path not in folders:
            yield base._replace(
                refused=f"its path {text(source.get('path'))[:100]!a} is not there, or holds no YAML (Jsonnet is not run)"
            )
        elif "plugin" in source:
            yield base._replace(refused="it is rendered by a config management plugin, and none is run")
        elif "helm" in source or f"{path}/Chart.yaml".removeprefix("./") in files.contents:
            yield _chart(base, one, mapping(source.get("helm")), here)
        elif "kustomize" in source or kustomization(files, path):
            yield base._replace(tool="kustomize", edits=_edits(mapping(source.get("kustomize"))))
        else:
            directory = mapping(source.get("directory"))
            yield base._replace(
                jsonnet=True,
                recurse=directory.get("recurse") is True,
                include=_globs(directory.get("include")),
                exclude=_globs(directory.get("exclude")),
                refused="it is made by Jsonnet, which is not run" if directory.get("jsonnet") else "",
            )


def _globs(value: Any) -> tuple[str, ...]:
    """`*.yaml` or `{a/*,b/*}`."""
    written = text(value)
    inner = written[1:-1] if written.startswith("{") and written.endswith("}") else written
    return tuple(part.strip() for part in inner.split(",") if part.strip())


def _chart(base: Root, one: Declared, helm: dict[str, Any], here: set[str]) -> Root:
    values: list[tuple[str, str]] = []
    files: list[tuple[str, str]] = []
    wanted = [("values file", text(name), "") for name in items(helm.get("valueFiles"))]
    wanted += [
        ("parameter's file", text(part.get("path")), text(part.get("name")))
        for part in map(mapping, items(helm.get("fileParameters")))
    ]
    for what, file, parameter in wanted:
        ref = file[1:].partition("/")[0] if file.startswith("$") else ""
        if ref and ref not in here:
            return base._replace(tool="helm", refused=f"its {what} {file[:100]!a} is of another repository")
        if not ref and base.chart:
            file = file.lstrip("/")
        relative = file.partition("/")[2] if ref else file if file.startswith("/") else f"{base.path}/{file}"
        path = _normal(relative)
        if path is None or "://" in file:
            return base._replace(tool="helm", refused=f"its {what} {file[:100]!a} is not of this repository")
        if parameter or what != "values file":
            files.append((parameter, path))
        else:
            values.append(("optional" if helm.get("ignoreMissingValueFiles") is True else "file", path))
    if text(helm.get("values")):
        values.append(("text", text(helm.get("values"))))
    if mapping(helm.get("valuesObject")):
        values.append(("text", json.dumps(helm["valuesObject"], default=str)))
    parameters = tuple(
        (text(part.get("name")), str(part.get("value", "")), part.get("forceString") is True)
        for part in map(mapping, items(helm.get("parameters")))
        if text(part.get("name"))
    )
    options = Helm(
        text(helm.get("releaseName")) or one.name,
        tuple(values),
        parameters,
        text(helm.get("kubeVersion")),
        tuple(map(text, items(helm.get("apiVersions")))),
        helm.get("skipCrds") is True,
        tuple(files),
    )
    namespace = text(helm.get("namespace")) or base.namespace
    return base._replace(tool="helm", helm=options, namespace=namespace)


def _normal(path: str) -> str | None:
    return joined(".", path.lstrip("/"))


def _edits(kustomize: dict[str, Any]) -> str:
    """What Argo CD sets in the kustomization."""
    edits: dict[str, Any] = {}
    for key in ("namespace", "namePrefix", "nameSuffix"):
        if text(kustomize.get(key)):
            edits[key] = kustomize[key]
    for key in ("patches", "components"):
        if items(kustomize.get(key)):
            edits[key] = kustomize[key]
    labels = mapping(kustomize.get("commonLabels"))
    if labels:
        edits["labels"] = [{"pairs": labels, "includeSelectors": kustomize.get("labelWithoutSelector") is not True}]
    return json.dumps(edits, sort_keys=True, default=str) if edits else ""


def _clusters(found: list[Root]) -> list[Root]:
    """Applications of one name on one cluster belong to different Argo CDs: their folder tells the clusters apart."""
    owners: dict[tuple[str, str], set[str]] = {}
    for root in found:
        owners.setdefault((root.environment, root.name), set()).add(root.file)
    mixed = {environment for (environment, _), of in owners.items() if len(of) > 1}
    return [
        root._replace(environment=f"{root.environment} ({root.file.rpartition('/')[0] or '.'})")
        if root.environment in mixed
        else root
        for root in found
    ]
