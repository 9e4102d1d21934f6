"""Argo CD Applications and ApplicationSets of a side in, what they deploy from this repository out.

Fields: https://argo-cd.readthedocs.io/en/stable/operator-manual/application-specification/ and .../applicationset/Generators/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from bot.render.gitops import Declared, clean, declared, folders_of, own_url, plain_url
from bot.render.kustomize import kustomization
from bot.render.model import Helm, Root, Unusable, documents, items, mapping, text
from bot.sources import Files

IN_CLUSTER = "https://kubernetes.default.svc"
MOST_APPLICATIONS = 1_000
_PLACEHOLDER = re.compile(r"\{\{-?\s*([^{}]*?)\s*-?\}\}")


def roots(files: Files) -> tuple[list[Root], list[str]]:
    """What every Application deploys, and notes on what cannot be told from the repository."""
    notes: list[str] = []
    found = declared(files, b"argoproj.io/", ("Application", "ApplicationSet"), notes)
    applications: list[Declared] = []
    for one in found:
        if one.kind == "Application":
            applications.append(one)
        else:
            made, note = _generated(one, files)
            applications += made
            notes += [note] if note else []
    folders = folders_of(files)
    pairs = [
        (text(source.get("repoURL")), text(source.get("path"))) for one in applications for source in _sources(one.spec)
    ]
    own = own_url(pairs, folders)
    out: list[Root] = []
    for one in applications[:MOST_APPLICATIONS]:
        out += _roots(one, files, folders, own)
    return _clusters(out), notes


def _sources(spec: dict[str, Any]) -> list[dict[str, Any]]:
    sources = [mapping(source) for source in items(spec.get("sources"))] or [mapping(spec.get("source"))]
    dry = mapping(mapping(spec.get("sourceHydrator")).get("drySource"))
    return [dry] if dry else [source for source in sources if source]


def _roots(one: Declared, files: Files, folders: set[str], own: str | None) -> Iterator[Root]:
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
            words = f"the chart {text(source.get('chart'))[:80]!a} is not in this repository, and nothing is fetched"
            if plain_url(text(source.get("repoURL"))) == own or here or len(sources) == 1:
                yield base._replace(tool="helm", path=".", refused=words, setting="--context")
            continue
        if not text(source.get("path")) or plain_url(text(source.get("repoURL"))) != own:
            continue
        if path == ".." or path not in folders:
            yield base._replace(refused=f"its path {text(source.get('path'))[:100]!a} is not there")
        elif "plugin" in source:
            yield base._replace(refused="it is rendered by a config management plugin, and none is run")
        elif "helm" in source or f"{path}/Chart.yaml".removeprefix("./") in files.contents:
            yield _chart(base, one, mapping(source.get("helm")), here)
        elif "kustomize" in source or kustomization(files, path):
            yield base._replace(tool="kustomize", edits=_edits(mapping(source.get("kustomize"))))
        else:
            directory = mapping(source.get("directory"))
            yield base._replace(
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
    for name in items(helm.get("valueFiles")):
        file = text(name)
        ref = file[1:].partition("/")[0] if file.startswith("$") else ""
        if ref and ref not in here:
            return base._replace(tool="helm", refused=f"its values file {file[:100]!a} is of another repository")
        relative = file.partition("/")[2] if ref else file if file.startswith("/") else f"{base.path}/{file}"
        path = _normal(relative)
        if path is None or "://" in file:
            return base._replace(tool="helm", refused=f"its values file {file[:100]!a} is not of this repository")
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
    if items(helm.get("fileParameters")):
        return base._replace(tool="helm", refused="it sets values from files (fileParameters), which is not done")
    options = Helm(
        text(helm.get("releaseName")) or one.name,
        tuple(values),
        parameters,
        text(helm.get("kubeVersion")),
        tuple(map(text, items(helm.get("apiVersions")))),
        helm.get("skipCrds") is True,
    )
    namespace = text(helm.get("namespace")) or base.namespace
    return base._replace(tool="helm", helm=options, namespace=namespace)


def _normal(path: str) -> str | None:
    from bot.render.model import joined

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


# --- ApplicationSets: the generators that need nothing but the repository ---


def _generated(one: Declared, files: Files) -> tuple[list[Declared], str]:
    """The Applications of a set, or a note on why they are not known."""
    title = f"{one.file}:{one.line}: ApplicationSet {one.name}"
    try:
        parameters = [
            p for generator in items(one.spec.get("generators")) for p in _generate(mapping(generator), files, one)
        ]
    except Unusable as error:
        return [], f"{title}: {error}; what it deploys is not looked at"
    if text(one.spec.get("templatePatch")):
        return [], f"{title}: its templatePatch is not applied; what it deploys is not looked at"
    out = []
    for values in parameters[:MOST_APPLICATIONS]:
        made = _fill(mapping(one.spec.get("template")), values)
        if "{{" in json.dumps(made, default=str):
            return [], f"{title}: its template is not understood; what it deploys is not looked at"
        out.append(Declared(mapping(made), one.file, one.line))
    return out, ""


def _generate(generator: dict[str, Any], files: Files, one: Declared) -> list[dict[str, Any]]:
    if "list" in generator:
        found = [mapping(item) for item in items(mapping(generator["list"]).get("elements"))]
    elif "git" in generator:
        found = _git(mapping(generator["git"]), files)
    elif "matrix" in generator:
        found = [{}]
        for part in items(mapping(generator["matrix"]).get("generators")):
            found = [
                {**known, **more}
                for known in found
                for more in _generate(mapping(_fill(mapping(part), known)), files, one)
            ]
            if len(found) > MOST_APPLICATIONS:
                raise Unusable("it makes too many Applications")
    elif "merge" in generator:
        found = _merged(mapping(generator["merge"]), files, one)
    else:
        name = next((key for key in generator if key not in ("selector", "template")), "an empty generator")
        raise Unusable(f"the generator {name[:40]!a} needs more than the repository")
    labels = mapping(mapping(generator.get("selector")).get("matchLabels"))
    if mapping(generator.get("selector")).get("matchExpressions"):
        raise Unusable("the selector of a generator has matchExpressions, which are not applied")
    return [item for item in found if all(str(item.get(key)) == str(value) for key, value in labels.items())]


def _merged(merge: dict[str, Any], files: Files, one: Declared) -> list[dict[str, Any]]:
    keys = [text(key) for key in items(merge.get("mergeKeys"))]
    parts = [_generate(mapping(part), files, one) for part in items(merge.get("generators"))]
    if not parts or not keys:
        return []
    out = [dict(item) for item in parts[0]]
    for part in parts[1:]:
        by_key = {tuple(str(item.get(key)) for key in keys): item for item in part}
        for item in out:
            item.update(by_key.get(tuple(str(item.get(key)) for key in keys), {}))
    return out


def _git(git: dict[str, Any], files: Files) -> list[dict[str, Any]]:
    from bot.sources.select import matcher

    extra = mapping(git.get("values"))
    out = []
    if items(git.get("directories")):
        wanted = [mapping(item) for item in items(git.get("directories"))]
        yes = [text(item.get("path")) for item in wanted if item.get("exclude") is not True]
        no = [text(item.get("path")) for item in wanted if item.get("exclude") is True]
        for folder in sorted(folders_of(files) - {"."}):
            # A glob means a folder itself here, not what is below it.
            if any(_is(glob, folder) for glob in yes) and not any(_is(glob, folder) for glob in no):
                name = folder.rpartition("/")[2]
                path: dict[str, Any] = {"path": folder, "basename": name, "segments": folder.split("/")}
                path["basenameNormalized"] = re.sub(r"[^a-z0-9-.]", "-", name.lower())
                out.append({"path": path, **({"values": extra} if extra else {})})
    for item in map(mapping, items(git.get("files"))):
        matches = matcher((text(item.get("path")),))
        for file, data in files.contents.items():
            if not matches(file):
                continue
            folder = file.rpartition("/")[0] or "."
            try:
                found = documents(data)
            except Unusable as error:
                raise Unusable(f"{file}: {error}") from None
            for value in (part for document in found for part in (items(document) or [document])):
                name = folder.rpartition("/")[2]
                about = {
                    "path": folder,
                    "basename": name,
                    "filename": file.rpartition("/")[2],
                    "segments": folder.split("/"),
                }
                out.append({**mapping(value), "path": about, **({"values": extra} if extra else {})})
    return [mapping(_fill(item, item)) for item in out]


def _is(glob: str, folder: str) -> bool:
    parts, names = glob.strip("/").split("/"), folder.split("/")
    from fnmatch import fnmatchcase

    return len(parts) == len(names) and all(map(fnmatchcase, names, parts)) and not any("**" in part for part in parts)


def _fill(value: Any, values: dict[str, Any]) -> Any:
    """A template's value with its `{{…}}` filled in, of both spellings (fasttemplate and Go templates without functions)."""
    if isinstance(value, dict):
        return {_fill(key, values): _fill(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, values) for item in value]
    if isinstance(value, str) and "{{" in value:
        return _PLACEHOLDER.sub(lambda found: _look_up(found[1], values, found[0]), value)
    return value


def _look_up(name: str, values: dict[str, Any], written: str) -> str:
    index = re.fullmatch(r"index\s+\.([\w.]+)\s+(\d+)", name)
    steps: list[str | int] = [*re.sub(r"\[(\d+)\]", r".\1", name.removeprefix(".")).split(".")]
    if index:
        steps = [*index[1].split("."), int(index[2])]
    at: Any = values
    for step in steps:
        if isinstance(at, dict) and step in at:
            at = at[step]
        elif isinstance(at, list) and str(step).isdigit() and int(step) < len(at):
            at = at[int(step)]
        elif isinstance(values.get(name), (str, int)):
            return str(values[name])
        else:
            return written
    if isinstance(at, dict) and "path" in at:
        at = at["path"]
    return written if isinstance(at, (dict, list)) or at is None else str(at)
