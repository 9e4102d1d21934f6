"""What the API server demands of names, labels and annotations (k8s.io/apimachinery: pkg/api/validation, pkg/util/validation)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeGuard

    from bot.manifests.plain import Path


class Malformed(Exception):
    """What the API server would refuse: where in the object, and why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9._:]{0,251}[-A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def is_name(value: object) -> TypeGuard[str]:
    """Whether a value can be the name of an object (the looser of the API server's forms; a trailing '-' is generateName's)."""
    return type(value) is str and _is_name(value)


@lru_cache(maxsize=4096)
def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def labels_of(value: Any, path: Path) -> dict[str, str]:
    """Labels, a null value as the empty string that it is to the API server. Raises Malformed."""
    if value is None:
        return {}
    if type(value) is not dict:
        raise Malformed(path, "labels must be a map of strings")
    for key, text in value.items():
        if type(text) is not str:
            if text is not None:
                raise Malformed((*path, key), _not_a_string("label", key, text))
            text = ""
        if not _is_label(key, text):
            raise Malformed((*path, key), f"the label {shown(key)}: {shown(text)} is not valid")
    return {key: text or "" for key, text in value.items()}


@lru_cache(maxsize=16384)
def _is_label(key: str, value: str) -> bool:
    return _LABEL_KEY.fullmatch(key) is not None and _LABEL_VALUE.fullmatch(value) is not None


def refuse_annotations(value: Any, path: Path) -> None:
    """Raises Malformed for annotations that are no map of strings."""
    if value is None:
        return
    if type(value) is not dict:
        raise Malformed(path, "annotations must be a map of strings")
    for key, text in value.items():
        if type(text) is not str and text is not None:
            raise Malformed((*path, key), _not_a_string("annotation", key, text))


def _not_a_string(what: str, key: str, value: object) -> str:
    if isinstance(value, bool):
        return f"the {what} {shown(key)} is the boolean {str(value).lower()}, not a string: quote it"
    if isinstance(value, (int, float)):
        return f"the {what} {shown(key)} is the number {value}, not a string: quote it"
    return f"the {what} {shown(key)} is not a string"


def shown(text: str) -> str:
    """A string of a manifest for a message, shortened."""
    return text if len(text) <= 63 else text[:63] + "…"
