"""Label selectors as manifests have them in, expressions over one scope of labels out, with what an API server would refuse.

Semantics: k8s.io/apimachinery `labels.Requirement.Matches` and `metav1/validation.ValidateLabelSelector`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bot.policies.model import EVERYTHING, NOBODY, Expr, InNamespace, Label, Not, conjunction, disjunction

Path = tuple[str | int, ...]
NAMESPACE_NAME = "kubernetes.io/metadata.name"
_SELECTOR = frozenset({"matchLabels", "matchExpressions"})
_REQUIREMENT = frozenset({"key", "operator", "values"})


class Flaw(NamedTuple):
    """What is wrong at a path of an object: `refused` by an API server, or of a plain meaning all the same."""

    path: Path
    reason: str
    refused: bool = True


def unknown_fields(value: Iterable[object], known: frozenset[str], path: Path, flaws: list[Flaw]) -> None:
    """A flaw for each key that strict decoding does not know."""
    for key in value:
        if key not in known:
            names = ", ".join(sorted(known))
            flaws.append(Flaw((*path, str(key)), f"unknown field {str(key)!r} (known here: {names})"))


def mapping(value: object, path: Path, flaws: list[Flaw]) -> dict[str, object]:
    """The value where it is a mapping; null is an empty one, anything else a flaw."""
    if isinstance(value, dict):
        return value
    if value is not None:
        flaws.append(Flaw(path, f"must be a mapping, and is {kind_of(value)}"))
    return {}


def sequence(value: object, path: Path, flaws: list[Flaw]) -> list[object]:
    """The value where it is a list; null is an empty one, anything else a flaw."""
    if isinstance(value, list):
        return value
    if value is not None:
        flaws.append(Flaw(path, f"must be a list, and is {kind_of(value)}"))
    return []


def kind_of(value: object) -> str:
    """How a person calls a YAML value of the wrong type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {value}" if abs(value) < 1 << 64 else "a number too large"
    return {"str": "text", "list": "a list", "dict": "a mapping"}.get(type(value).__name__, "something else")


class Selectors:
    """Selectors of one run: equal ones become the identical expression, so that they are resolved once."""

    def __init__(self) -> None:
        self._by_labels: dict[tuple[object, ...], Expr] = {}
        self._interned: dict[Expr, Expr] = {}

    def read(self, value: object, scope: str, path: Path, flaws: list[Flaw]) -> Expr:
        """A LabelSelector over `scope` (`pod`, `namespace`, `node`). Null is the empty one, which matches everything.

        Callers to whom an absent selector means something else look for None first.
        """
        key: tuple[object, ...] | None = None
        if isinstance(value, dict):
            if not value:
                return EVERYTHING
            labels = value.get("matchLabels")
            if len(value) == 1 and isinstance(labels, dict):
                key = (scope, *labels.items())
                try:
                    found = self._by_labels.get(key)
                except TypeError:
                    key = None
                else:
                    if found is not None:
                        return found
        before = len(flaws)
        expr = self._read(value, scope, path, flaws)
        if key is not None and len(flaws) == before:
            self._by_labels[key] = expr
        return expr

    def intern(self, expr: Expr) -> Expr:
        """The first expression equal to this one."""
        return self._interned.setdefault(expr, expr)

    def _read(self, value: object, scope: str, path: Path, flaws: list[Flaw]) -> Expr:
        if value is None:
            return EVERYTHING
        if not isinstance(value, dict):
            flaws.append(Flaw(path, f"must be a label selector ({{matchLabels, matchExpressions}}), and is {kind_of(value)}"))
            return NOBODY
        if not value.keys() <= _SELECTOR:
            unknown_fields(value, _SELECTOR, path, flaws)
        at = (*path, "matchLabels")
        wanted: list[tuple[str, str]] = []
        for key, text in mapping(value.get("matchLabels"), at, flaws).items():
            _check_key(key, (*at, key), flaws)
            wanted.append((key, _label_value(text, (*at, key), flaws)))
        parts = [_in(scope, key, (text,)) for key, text in sorted(wanted)]
        at = (*path, "matchExpressions")
        for i, item in enumerate(sequence(value.get("matchExpressions"), at, flaws)):
            parts.append(_requirement(item, scope, (*at, i), flaws))
        return self.intern(conjunction(parts))


def _requirement(item: object, scope: str, path: Path, flaws: list[Flaw]) -> Expr:
    fields = mapping(item, path, flaws)
    if not fields.keys() <= _REQUIREMENT:
        unknown_fields(fields, _REQUIREMENT, path, flaws)
    key = fields.get("key")
    if not isinstance(key, str):
        flaws.append(Flaw((*path, "key") if "key" in fields else path, "a label key is required"))
        key = ""
    else:
        _check_key(key, (*path, "key"), flaws)
    at = (*path, "values")
    values = [
        _label_value(text, (*at, i), flaws) for i, text in enumerate(sequence(fields.get("values"), at, flaws))
    ]
    operator = fields.get("operator")
    if operator in ("In", "NotIn"):
        if not values:
            flaws.append(Flaw(at if "values" in fields else path, f"values must be given when the operator is {operator}"))
        found = _in(scope, key, tuple(sorted(set(values))))
        return found if operator == "In" else Not(Label(scope, key, "in", tuple(sorted(set(values)))))
    if operator in ("Exists", "DoesNotExist"):
        if values:
            flaws.append(Flaw(at, f"values must not be given when the operator is {operator}"))
        exists = Label(scope, key, "exists")
        return exists if operator == "Exists" else Not(exists)
    known = "In, NotIn, Exists or DoesNotExist"
    flaws.append(Flaw((*path, "operator") if "operator" in fields else path, f"the operator must be {known}"))
    return NOBODY


def _in(scope: str, key: str, values: tuple[str, ...]) -> Expr:
    """A namespace chosen by its name is that namespace: the API server sets this label, and no manifest overrides it."""
    if scope == "namespace" and key == NAMESPACE_NAME:
        return disjunction(InNamespace(name) for name in values)
    return Label(scope, key, "in", values)


def _label_value(text: object, path: Path, flaws: list[Flaw]) -> str:
    if isinstance(text, str):
        if text and not _is_name(text):
            flaws.append(Flaw(path, f"{text[:80]!r} is no label value (at most 63 letters, digits, '-', '_' and '.')"))
        return text
    if text is None:
        flaws.append(Flaw(path, "null is read as the empty value", refused=False))
    else:
        hint = " (quote it)" if isinstance(text, (bool, int, float)) else ""
        flaws.append(Flaw(path, f"a label value must be text, and is {kind_of(text)}{hint}"))
    return ""


def _check_key(key: object, path: Path, flaws: list[Flaw]) -> None:
    text = str(key)
    prefix, slash, name = text.rpartition("/")
    if not _is_name(name) or (slash and not _is_domain(prefix)):
        flaws.append(Flaw(path, f"{text[:80]!r} is no label key ([prefix/]name, the name at most 63 characters)"))


def _is_name(text: str) -> bool:
    """The form of a label's value and of the name in its key (apimachinery, `validation.IsQualifiedName`)."""
    inner = text.replace("-", "").replace("_", "").replace(".", "")
    return len(text) <= 63 and inner.isascii() and inner.isalnum() and text[0].isalnum() and text[-1].isalnum()


def _is_domain(text: str) -> bool:
    """The form of the prefix of a label's key (apimachinery, `validation.IsDNS1123Subdomain`)."""
    return len(text) <= 253 and all(
        part.isascii() and part == part.lower() and part.replace("-", "").isalnum() and part[0] != "-" != part[-1]
        for part in text.split(".")
    )
