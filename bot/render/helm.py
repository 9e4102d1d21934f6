"""A folder with a chart in; the files that it is made of, or what Helm renders of it, out."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

from bot.render import cage
from bot.render.chance import fixed
from bot.render.charts import Chart, unpacked
from bot.render.kustomize import split
from bot.render.model import Helm, Unusable, below, documents, items, joined, mapping, text, under
from bot.render.references import Inputs, real
from bot.render.remote import Remotes, top_of
from bot.sources import Files
from bot.sources.remote import Unreachable

# What templates see of the cluster where nothing says it: never that of whoever runs this. The library of the extra knows no other.
KUBE_VERSION = "1.36.0"
MISSING = "helm is not here: pip install 'netreach[render]'"
_SCHEMA = "values.schema.json"
_TEST = re.compile(r"""^\s+["']?helm\.sh/hook["']?:\s*["']?test""", re.MULTILINE)
_SOURCE = re.compile(r"\A# Source: (\S+)\n")


def chart(files: Files, folder: str) -> dict[str, Any]:
    """A chart's Chart.yaml. Raises Unusable."""
    data = files.contents.get(_chart_file(folder))
    if data is None:
        raise Unusable("there is no Chart.yaml in this folder")
    return mapping(next(iter(documents(data)), None))


def _chart_file(folder: str) -> str:
    return "Chart.yaml" if folder == "." else f"{folder}/Chart.yaml"


def inputs(files: Files, folder: str, options: Helm, remotes: Remotes | None = None, fetched: str = "") -> Inputs:
    """What a chart is rendered from: its own files, the values files, and charts that it depends on.

    `remotes`: what may be fetched; `fetched`: the chart itself is (charts.Chart.written).
    """
    used: set[str] = set()
    problems: list[tuple[str, str]] = []
    charts = {real(folder, files.links, used)}
    remote: dict[tuple[str, str], None] = {(fetched, ""): None} if fetched else {}
    if not fetched or _chart_file(folder) in files.contents:
        _depend(files, real(folder, files.links), charts, problems, 0, remotes or Remotes(), remote)
    tops = {real(f"{chart}/{name}".removeprefix("./"), files.links, used) for chart in charts for name in _TOPS}
    for whole in (False, True):
        # Templates may show any file of the chart; without it, the other files there are nobody's, as other environments' values.
        folders = charts if whole else {f"{chart}/{part}".removeprefix("./") for chart in charts for part in _PARTS}
        folders = _follow(files, folders, used)
        found = {path for one in folders for path in under(files.contents, one)}
        if not any(b".Files" in files.contents[path] for path in found):
            break
    found |= tops | {real(path, files.links, used) for kind, path in options.values if kind != "text"}
    found |= {real(path, files.links, used) for _, path in options.files}
    # A schema may name files and addresses to load, and says nothing of what is deployed.
    found = {path for path in found if not path.endswith("/" + _SCHEMA) and path != _SCHEMA}
    return Inputs(frozenset(found), frozenset(used), tuple(problems), frozenset(folders), remote=tuple(remote))


_TOPS = ("Chart.yaml", "Chart.lock", "values.yaml", "requirements.yaml", "requirements.lock", ".helmignore")
_PARTS = ("templates", "charts", "crds")


def _follow(files: Files, start: set[str], used: set[str]) -> set[str]:
    """The folders, and where the links on the way to them and below them lead."""
    folders = {real(folder, files.links, used) for folder in start}
    waiting = [link for link in files.links if link not in used]
    grown = True
    while grown and waiting:
        grown = False
        for link in waiting:
            if link not in used and any(below(one, link) for one in folders):
                used.add(link)
                folders.add(files.links[link])
                grown = True
    return folders


def _depend(
    files: Files,
    folder: str,
    folders: set[str],
    problems: list[tuple[str, str]],
    depth: int,
    remotes: Remotes,
    remote: dict[tuple[str, str], None],
) -> None:
    file = _chart_file(folder)
    try:
        declared = _declared(files, folder)
    except Unusable as error:
        problems.append((str(error), file))
        return
    for dependency in declared:
        name, repository = text(dependency.get("name")), text(dependency.get("repository"))
        if not name or _vendored(files, folder, name):
            continue
        path = joined(folder, repository.removeprefix("file://")) if repository.startswith("file://") else None
        if path is not None and top_of(path) != top_of(folder):
            path = None
        if wanted := _elsewhere(files, folder, dependency):
            problem = remotes.problem(wanted)
            path = remotes.path(wanted)
            if path is not None or (problem and repository.startswith("https://") and remotes.allowed):
                remote[wanted, file] = None
                if path is None or _chart_file(path) not in files.contents:
                    continue
        if path is None or depth > 10 or _chart_file(path) not in files.contents:
            words = (
                f"its dependency {name[:60]!a} is not in charts/: run helm dependency build, and commit what it writes"
            )
            problems.append((words, file))
        elif path not in folders:
            folders.add(path)
            _depend(files, path, folders, problems, depth + 1, remotes, remote)


def _elsewhere(files: Files, folder: str, dependency: dict[str, Any]) -> str:
    """A dependency of a Helm repository (charts.Chart.written), with the version that the lock has; '' for others."""
    repository, name = text(dependency.get("repository")), text(dependency.get("name"))
    if "://" not in repository or repository.startswith("file://"):
        return ""
    version = text(dependency.get("version"))
    for lock in ("Chart.lock", "requirements.lock"):
        data = files.contents.get(lock if folder == "." else f"{folder}/{lock}", b"")
        try:
            found = items(mapping(next(iter(documents(data)), None)).get("dependencies"))
        except Unusable:
            continue
        version = next((text(one.get("version")) for one in map(mapping, found) if one.get("name") == name), version)
    return Chart(repository, name, version).written


def _declared(files: Files, folder: str) -> list[dict[str, Any]]:
    """The dependencies that a chart names; those of the first version of the format stand in a file of their own. Raises Unusable."""
    found = items(chart(files, folder).get("dependencies"))
    data = files.contents.get("requirements.yaml" if folder == "." else f"{folder}/requirements.yaml", b"")
    found = found + items(mapping(next(iter(documents(data)), None)).get("dependencies"))
    return [mapping(one) for one in found]


def _vendored(files: Files, folder: str, name: str) -> bool:
    charts = "charts/" if folder == "." else f"{folder}/charts/"
    return (
        any(
            path == f"{charts}{name}/Chart.yaml" or (path.startswith(f"{charts}{name}-") and path.endswith(".tgz"))
            for path in files.contents
        )
        or f"{charts}{name}" in files.links
    )


def _copied(files: Files, used: Inputs, folder: str, remotes: Remotes) -> dict[str, bytes]:
    """The files, with charts of this repository at the place where `helm dependency build` puts them."""
    contents = {path: files.contents[path] for path in sorted(used.files) if path in files.contents}
    waiting = [(folder, folder)]
    while waiting and len(contents) < 100_000:
        source, place = waiting.pop()
        try:
            declared = _declared(files, source)
        except Unusable:
            continue
        for dependency in declared:
            name, repository = text(dependency.get("name")), text(dependency.get("repository"))
            path = joined(source, repository.removeprefix("file://")) if repository.startswith("file://") else None
            if wanted := _elsewhere(files, source, dependency):
                path = remotes.path(wanted)
            if path is None or not name or _vendored(files, source, name) or place.count("/charts/") > 10:
                continue
            target = f"charts/{name}" if place == "." else f"{place}/charts/{name}"
            for file in [file for file in files.contents if below(path, file) and file in used.files]:
                contents.setdefault(target + file[len(path) :], files.contents[file])
            waiting.append((path, target))
    return contents


def tool() -> list[str] | None:
    """helm on PATH, else the extra's, which runs as a program of its own."""
    import shutil
    from importlib.util import find_spec

    if found := shutil.which("helm"):
        return [found]
    if find_spec("helm_python") is None:
        return None
    return [sys.executable, "-I", "-B", os.path.join(os.path.dirname(os.path.abspath(__file__)), "helm_child.py")]


def version() -> str:
    """What renders charts, with its version."""
    command = tool()
    if command is None:
        return "helm"
    if len(command) == 1:
        return f"helm {cage.asked(command[0], 'version', '--short')}"
    return f"helm-python-sdk {cage.package('helm-python-sdk')}"


def template(
    files: Files,
    used: Inputs,
    folder: str,
    options: Helm,
    namespace: str,
    command: list[str] | None = None,
    remotes: Remotes | None = None,
) -> list[tuple[str, str | None]]:
    """Each object's text as Helm prints it, and its template, by path in the repository where it is there. Raises cage.Failed."""
    command = command or tool()
    if command is None:
        raise cage.Failed(MISSING)
    folder = real(folder, files.links)
    contents = fixed(opened(_copied(files, used, folder, remotes or Remotes())))
    order = []
    for index, (kind, value) in enumerate(options.values):
        if kind == "text":
            order.append(f".netreach-values/{index}.yaml")
            contents[order[-1]] = value.encode("utf-8", "replace")
        else:
            path = real(value, files.links)
            if path in contents:
                order.append(path)
            elif kind == "file":
                raise cage.Failed(f"its values file {value} is not there")
    given = []
    for name, value in options.files:
        path = real(value, files.links)
        if path not in contents:
            raise cage.Failed(f"its parameter's file {value} is not there")
        if not name or name.startswith("-") or any(character in path for character in ",{}[]\\="):
            raise cage.Failed(f"its parameter {name} from the file {value} cannot be told to Helm")
        given.append((name, path))
    links = {path: files.links[path] for path in used.links}
    with cage.copy(contents, links) as root:
        if len(command) > 1:
            _fixed(contents, options)
        if len(command) == 1:
            out = _command(command[0], root, folder, options, namespace, order, given)
        else:
            out = _child(command, root, folder, options, namespace, order, given)
    name = text(chart(files, folder).get("name"))
    return [(document, _template(document, name, folder)) for document in split(out) if not _TEST.search(document)]


def opened(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files, with packed dependencies unpacked at their place, so that their schemas are left out, too. Raises cage.Failed."""
    out = dict(contents)
    waiting = [path for path in out if _PACKED.search(path)]
    while waiting:
        path = waiting.pop()
        try:
            files = unpacked(out.pop(path))
        except Unreachable as error:
            raise cage.Failed(f"{path}: {error}") from None
        top = path.removesuffix(".tgz")
        made = {f"{top}/{name}": data for name, data in files.items() if name.rpartition("/")[2] != _SCHEMA}
        out |= made
        waiting += [name for name in made if _PACKED.search(name)]
        if len(out) > MOST_FILES:
            raise cage.Failed(f"its dependencies have more than {MOST_FILES:,} files")
    return out


MOST_FILES = 100_000
_PACKED = re.compile(r"(?:^|/)charts/[^/]+\.tgz$")
Named = list[tuple[str, str]]


def _command(helm: str, root: str, folder: str, options: Helm, namespace: str, order: list[str], given: Named) -> str:
    command = [helm, "template", options.release, os.path.join(root, folder), "--namespace", namespace]
    command += ["--kube-version", options.kube_version or KUBE_VERSION, "--skip-tests"]
    for version in options.api_versions:
        command += ["--api-versions", version]
    for file in order:
        command += ["--values", os.path.join(root, file)]
    for name, value, is_text in options.parameters:
        command += ["--set-string" if is_text else "--set", f"{name}={value}"]
    for name, path in given:
        command += ["--set-file", f"{name}={os.path.join(root, path)}"]
    try:
        out = cage.run([*command, "--skip-schema-validation"], root)
    except cage.Failed as failed:
        if "unknown flag" not in str(failed):
            raise
        out = cage.run(command, root)
    return out.decode("utf-8", "replace")


def _fixed(contents: Mapping[str, bytes], options: Helm) -> None:
    """Raises cage.Failed where a chart depends on what the library cannot be told."""
    version = options.kube_version.removeprefix("v")
    if not options.api_versions and (not version or f"{version}.0".startswith(f"{KUBE_VERSION}")):
        return
    for path, data in contents.items():
        if b".Capabilities" in data and "/templates/" in path:
            raise cage.Failed(f"{path} depends on .Capabilities, of which only helm on PATH can be told")


def _child(
    command: list[str], root: str, folder: str, options: Helm, namespace: str, order: list[str], given: Named
) -> str:
    asked = {
        "chart": os.path.join(root, folder),
        "release": options.release,
        "namespace": namespace,
        "values": [os.path.join(root, file) for file in order],
        "parameters": options.parameters,
        "files": [(name, os.path.join(root, path)) for name, path in given],
    }
    # The library maps three times its size and keeps a large heap of its own in reserve.
    out = cage.run(command, root, give=json.dumps(asked).encode())
    rendered: dict[str, str] = json.loads(out)
    pieces = []
    for name, content in sorted(rendered.items()):
        if name.endswith("NOTES.txt"):
            continue
        pieces += [f"---\n# Source: {name}\n{document}" for document in split(content) if _CONTENT.search(document)]
    return "".join(pieces)


_CONTENT = re.compile(r"^[ \t]*[^ \t\n#]", re.MULTILINE)


def _template(document: str, name: str, folder: str) -> str | None:
    found = _SOURCE.match(document)
    if found is None or not found[1].startswith(name + "/"):
        return None
    return joined(folder, found[1][len(name) + 1 :])
