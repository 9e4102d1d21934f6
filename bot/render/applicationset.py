"""An Argo CD ApplicationSet in, the Applications that it makes out, as far as the repository tells.

Generators: https://argo-cd.readthedocs.io/en/stable/operator-manual/applicationset/Generators/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from bot.render.gitops import Declared, folders_of
from bot.render.model import Cluster, Unusable, documents, items, mapping, text
from bot.sources import Files

MOST_APPLICATIONS = 1_000
_PLACEHOLDER = re.compile(r"\{\{-?\s*([^{}]*?)\s*-?\}\}")
Parameters = dict[str, Any]


def generated(one: Declared, files: Files, clusters: Sequence[Cluster]) -> tuple[list[Declared], str]:
    """The Applications of a set, or a note on why they are not known."""
    title = f"{one.file}:{one.line}: ApplicationSet {one.name}"
    made = []
    try:
        for generator in map(mapping, items(one.spec.get("generators"))):
            override = next(
                (mapping(mapping(v).get("template")) for v in generator.values() if "template" in mapping(v)), {}
            )
            template = _merged(mapping(one.spec.get("template")), override)
            for values in _generate(generator, _Known(files, clusters)):
                made.append(_application(template, text(one.spec.get("templatePatch")), values))
    except Unusable as error:
        return [], f"{title}: {error}; what it deploys is not looked at"
    return [Declared(value, one.file, one.line) for value in made[:MOST_APPLICATIONS]], ""


class _Known:
    """What generators may ask for."""

    def __init__(self, files: Files, clusters: Sequence[Cluster]) -> None:
        self.files = files
        self.clusters = clusters


def _application(template: dict[str, Any], patch: str, values: Parameters) -> dict[str, Any]:
    made = mapping(_fill(template, values))
    if patch:
        try:
            (change,) = documents(str(_fill(patch, values)).encode("utf-8", "replace"))
        except (Unusable, ValueError):
            raise Unusable("its templatePatch is not understood") from None
        made = _merged(made, mapping(change))
    if "{{" in json.dumps(made, default=str):
        raise Unusable("its template is not understood")
    return made


def _merged(value: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Mappings merged, anything else replaced."""
    out = dict(value)
    for key, item in more.items():
        if isinstance(item, dict) and isinstance(out.get(key), dict):
            out[key] = _merged(out[key], item)
        elif item not in ("", None):
            out[key] = item
    return out


def _generate(generator: dict[str, Any], known: _Known) -> list[Parameters]:
    if "list" in generator:
        if "elementsYaml" in mapping(generator["list"]):
            raise Unusable("the elementsYaml of its list generator is not read")
        found = [mapping(item) for item in items(mapping(generator["list"]).get("elements"))]
    elif "git" in generator:
        found = _git(mapping(generator["git"]), known.files)
    elif "clusters" in generator:
        found = _clusters(mapping(generator["clusters"]), known.clusters)
    elif "matrix" in generator:
        found = [{}]
        for part in map(mapping, items(mapping(generator["matrix"]).get("generators"))):
            found = [_merged(one, more) for one in found for more in _generate(mapping(_fill(part, one)), known)]
            if len(found) > MOST_APPLICATIONS:
                raise Unusable("it makes too many Applications")
    elif "merge" in generator:
        found = _joined(mapping(generator["merge"]), known)
    else:
        name = next((key for key in generator if key not in ("selector", "template")), "an empty generator")
        raise Unusable(f"the generator {name[:40]!a} needs more than the repository")
    selector = mapping(generator.get("selector"))
    return [item for item in found if _selected(selector, _reader(item))]


def _reader(item: Parameters) -> Callable[[str], Any]:
    return lambda key: _value(key, item)


def _selected(selector: dict[str, Any], value: Callable[[str], Any]) -> bool:
    """Whether what `value` gives for each key answers a label selector."""
    for key, wanted in mapping(selector.get("matchLabels")).items():
        if str(value(key)) != str(wanted):
            return False
    for part in map(mapping, items(selector.get("matchExpressions"))):
        found, listed = value(text(part.get("key"))), [str(item) for item in items(part.get("values"))]
        there = found is not None
        answer = {
            "In": there and str(found) in listed,
            "NotIn": not there or str(found) not in listed,
            "Exists": there,
            "DoesNotExist": not there,
        }.get(text(part.get("operator")))
        if answer is None:
            raise Unusable("the selector of a generator has an operator that is not known")
        if not answer:
            return False
    return True


def _clusters(clusters: dict[str, Any], known: Sequence[Cluster]) -> list[Parameters]:
    if not known:
        raise Unusable("its generator 'clusters' needs the clusters that Argo CD knows (setting: render.clusters)")
    out: list[Parameters] = []
    for cluster in known:
        labels = dict(cluster.labels)
        if _selected(mapping(clusters.get("selector")), labels.get):
            made: Parameters = {
                "name": cluster.name,
                "server": cluster.server,
                "nameNormalized": _normalized(cluster.name),
            }
            made["metadata"] = {"labels": labels, "annotations": dict(cluster.annotations)}
            if mapping(clusters.get("values")):
                made["values"] = _fill(clusters["values"], made)
            out.append(made)
    return out


def _normalized(name: str) -> str:
    return re.sub(r"[^a-z0-9-.]", "-", name.lower()).strip("-.")


def _joined(merge: dict[str, Any], known: _Known) -> list[Parameters]:
    keys = [text(key) for key in items(merge.get("mergeKeys"))]
    parts = [_generate(mapping(part), known) for part in items(merge.get("generators"))]
    if not parts or not keys:
        return []
    out = [dict(item) for item in parts[0]]
    for part in parts[1:]:
        by_key = {tuple(str(_value(key, item)) for key in keys): item for item in part}
        out = [_merged(item, by_key.get(tuple(str(_value(key, item)) for key in keys), {})) for item in out]
    return out


def _git(git: dict[str, Any], files: Files) -> list[Parameters]:
    from bot.sources.select import matcher

    prefix, extra = text(git.get("pathParamPrefix")), mapping(git.get("values"))
    out: list[Parameters] = []

    def add(folder: str, name: str, more: Parameters) -> None:
        about: Parameters = {"path": folder, "basename": folder.rpartition("/")[2], "segments": folder.split("/")}
        about["basenameNormalized"] = _normalized(about["basename"])
        if name:
            about |= {"filename": name, "filenameNormalized": _normalized(name)}
        found = {**more, **({prefix: {"path": about}} if prefix else {"path": about})}
        out.append({**found, "values": _fill(extra, found)} if extra else found)

    def listed(key: str, excluded: bool) -> list[str]:
        rows = [mapping(item) for item in items(git.get(key))]
        return [text(item.get("path")) for item in rows if (item.get("exclude") is True) is excluded]

    if items(git.get("directories")):
        for folder in sorted(folders_of(files) - {"."}):
            # A glob means a folder itself here, not what is below it.
            if any(_is(glob, folder) for glob in listed("directories", False)) and not any(
                _is(glob, folder) for glob in listed("directories", True)
            ):
                add(folder, "", {})
    wanted, unwanted = listed("files", False), listed("files", True)
    if wanted:
        matches, excluded = matcher(wanted), matcher(unwanted) if unwanted else lambda _: False
        for file, data in files.contents.items():
            if not matches(file) or excluded(file):
                continue
            try:
                found = documents(data)
            except Unusable as error:
                raise Unusable(f"{file}: {error}") from None
            for value in (part for document in found for part in (items(document) or [document])):
                add(file.rpartition("/")[0] or ".", file.rpartition("/")[2], mapping(value))
    return out


def _is(glob: str, folder: str) -> bool:
    parts, names = glob.strip("/").removeprefix("./").split("/"), folder.split("/")
    if "**" in parts:
        at = parts.index("**")
        return (
            len(names) > at
            and all(map(fnmatchcase, names, parts[:at]))
            and (
                at == len(parts) - 1
                or any(_is("/".join(parts[at + 1 :]), "/".join(names[n:])) for n in range(at, len(names)))
            )
        )
    return len(parts) == len(names) and all(map(fnmatchcase, names, parts))


def _fill(value: Any, values: Parameters) -> Any:
    """A template's value with its `{{…}}` filled in, of both spellings: fasttemplate, and Go templates with few functions."""
    if isinstance(value, dict):
        return {_fill(key, values): _fill(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, values) for item in value]
    if isinstance(value, str) and "{{" in value:
        return _PLACEHOLDER.sub(lambda found: _put(found[1], values, found[0]), value)
    return value


_FUNCTIONS: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "trim": str.strip,
    "quote": json.dumps,
    "toString": str,
    "normalize": _normalized,
}


def _put(expression: str, values: Parameters, written: str) -> str:
    first, *functions = (part.strip() for part in expression.split("|"))
    words = first.split(" ", 1)
    if words[0] in _FUNCTIONS and len(words) == 2:
        first, functions = words[1].strip(), [words[0], *functions]
    value = _value(first, values)
    if isinstance(value, dict) and isinstance(value.get("path"), str):
        value = value["path"]
    if value is None or isinstance(value, (dict, list)) or any(name not in _FUNCTIONS for name in functions):
        return written
    out = str(value).lower() if isinstance(value, bool) else str(value)
    for name in functions:
        out = _FUNCTIONS[name](out)
    return out


def _value(name: str, values: Parameters) -> Any:
    """What `.a.b`, `a.b`, `a[0]`, `index .a 0` or `index .a "b"` stand for; None where there is nothing."""
    index = re.fullmatch(r"""index\s+\.([\w.]+)\s+(?:(\d+)|["']([^"']+)["'])""", name)
    if index:
        found = _value(index[1], values)
        if isinstance(found, list) and index[2] and int(index[2]) < len(found):
            return found[int(index[2])]
        return found.get(index[3]) if isinstance(found, dict) and index[3] else None
    name = re.sub(r"\[(\d+)\]", r".segments.\1" if name.startswith("path[") else r".\1", name.removeprefix("."))
    return _walk(name, values)


def _walk(name: str, at: Any) -> Any:
    """Keys may hold dots, as labels do."""
    if isinstance(at, list):
        head, _, rest = name.partition(".")
        if not head.isdigit() or int(head) >= len(at):
            return None
        return _walk(rest, at[int(head)]) if rest else at[int(head)]
    if not isinstance(at, dict):
        return None
    if name in at:
        return at[name]
    end = name.find(".")
    while end >= 0:
        if name[:end] in at and (found := _walk(name[end + 1 :], at[name[:end]])) is not None:
            return found
        end = name.find(".", end + 1)
    return None
