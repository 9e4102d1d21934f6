"""A Flux Kustomization's patches and an object that it applies in; the object as it reaches the cluster out.

Only for Flux's own objects, which decide what is deployed; all others are patched by Kustomize itself
(https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/patches/).
"""

from __future__ import annotations

import copy
import re
from typing import Any

from bot.render.model import Unusable, documents, items, mapping, text

_TERM = re.compile(r"\s*(!?)\s*([\w./-]+)\s*(?:(=|==|!=)\s*([\w.-]*)|\s(in|notin)\s*\(([^()]*)\))?\s*(?:,|$)")


def patched(value: dict[str, Any], patches: Any) -> dict[str, Any]:
    """Raises Unusable for a patch that is not understood, and ValueError where the object is deleted."""
    for patch in map(mapping, items(patches)):
        try:
            (change,) = documents(text(patch.get("patch")).encode("utf-8", "replace"))
        except (Unusable, ValueError):
            raise Unusable("one of its patches is not understood") from None
        target = mapping(patch.get("target"))
        if not _meant(value, target, change):
            continue
        if isinstance(change, list):
            value = copy.deepcopy(value)
            for operation in change:
                _operate(value, mapping(operation))
        elif mapping(change).get("$patch") == "delete":
            raise ValueError
        else:
            # A target names the object, and the name in the patch is of no account then.
            named = {
                key: part for key, part in mapping(change).items() if not target or key not in ("apiVersion", "kind")
            }
            own = dict(mapping(named.get("metadata")))
            if target:
                own.pop("name", None)
                own.pop("namespace", None)
            value = _merged(value, {**named, "metadata": own} if "metadata" in named else named)
    return value


def _meant(value: dict[str, Any], target: dict[str, Any], change: Any) -> bool:
    about = mapping(value.get("metadata"))
    group, _, version = text(value.get("apiVersion")).rpartition("/")
    own = {"group": group, "version": version, "kind": text(value.get("kind")), "name": text(about.get("name"))}
    own["namespace"] = text(about.get("namespace"))
    if not target:
        part = mapping(change)
        named = mapping(part.get("metadata"))
        return part.get("kind") == own["kind"] and named.get("name") == own["name"]
    for key, found in own.items():
        wanted = text(target.get(key))
        try:
            if wanted and not re.fullmatch(wanted, found):
                return False
        except re.error:
            raise Unusable("the target of one of its patches is not understood") from None
    return _selects(text(target.get("labelSelector")), mapping(about.get("labels"))) and _selects(
        text(target.get("annotationSelector")), mapping(about.get("annotations"))
    )


def _selects(selector: str, labels: dict[str, Any]) -> bool:
    at = 0
    while at < len(selector):
        term = _TERM.match(selector, at)
        if term is None or term.end() == at:
            raise Unusable("the selector of one of its patches is not understood")
        at = term.end()
        negated, key, operator, one, word, listed = term.groups()
        there, found = key in labels, str(labels.get(key))
        several = [part.strip() for part in (listed or "").split(",")]
        answer = {
            "=": there and found == one,
            "==": there and found == one,
            "!=": not there or found != one,
            "in": there and found in several,
            "notin": not there or found not in several,
        }.get(operator or word or "", there is not bool(negated))
        if not answer:
            return False
    return True


def _merged(value: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Mappings merged, null removes, anything else replaced: as for every kind that Kustomize has no schema of."""
    out = dict(value)
    for key, part in change.items():
        if part is None:
            out.pop(key, None)
        elif isinstance(part, dict):
            out[key] = _merged(mapping(out.get(key)), part)
        else:
            out[key] = part
    return out


def _operate(value: dict[str, Any], operation: dict[str, Any]) -> None:
    """One operation of a JSON patch (RFC 6902), of those that change something."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in text(operation.get("path")).split("/")[1:]]
    name = operation.get("op")
    if not steps or name not in ("add", "replace", "remove", "test"):
        raise Unusable("one of its patches is not understood")
    at: Any = value
    try:
        for step in steps[:-1]:
            at = at[int(step)] if isinstance(at, list) else at[step]
        last = steps[-1]
        if isinstance(at, list):
            place = len(at) if last == "-" else int(last)
            if name == "add":
                at.insert(place, operation.get("value"))
            elif name == "replace":
                at[place] = operation.get("value")
            elif name == "remove":
                del at[place]
        elif name == "remove":
            del at[last]
        elif name != "test":
            at[last] = operation.get("value")
    except (LookupError, TypeError, ValueError):
        raise Unusable("one of its patches does not fit what it is for") from None
