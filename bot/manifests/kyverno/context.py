"""A trigger and a rule's `context` in; the values of the rule's variables out.

Follows kyverno pkg/engine/context: entries are loaded when an expression first names them, in order, and an entry sees
only those before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bot.manifests.kyverno.match import OPERATION
from bot.manifests.kyverno.model import Budget, Resource, Unresolved, Unsimulated, mapping, text_of
from bot.manifests.kyverno.substitute import substitute

MAX_VALUE = 50_000
"""The largest value a context entry may have, in nodes."""

_PLACEHOLDER_UID = "00000000-0000-0000-0000-000000000000"


def admission_data(trigger: Resource) -> dict[str, Any]:
    """The data that expressions read for the creation of `trigger`."""
    from bot.manifests.kyverno.query import Unknown

    user = Unknown("it reads who makes the request")
    metadata = {**mapping(trigger.value.get("metadata")), "name": trigger.name}
    # The cluster gives every object a UID; owner references name it, and no path depends on it.
    metadata.setdefault("uid", _PLACEHOLDER_UID)
    if trigger.namespace:
        metadata["namespace"] = trigger.namespace
    if trigger.kind == "Namespace":
        metadata["labels"] = dict(trigger.labels)
    kind = {"group": trigger.group, "version": trigger.version, "kind": trigger.kind}
    return {
        "request": {
            "object": {**trigger.value, "metadata": metadata},
            "oldObject": None,
            "operation": OPERATION,
            "kind": kind,
            "requestKind": kind,
            "name": trigger.name,
            # The API server sets the namespace of a request about a Namespace to that Namespace.
            "namespace": trigger.name if trigger.kind == "Namespace" else trigger.namespace,
            "userInfo": user,
            "roles": user,
            "clusterRoles": user,
        },
        "serviceAccountName": user,
        "serviceAccountNamespace": user,
        "images": Unknown("it reads image data"),
    }


class RuleContext:
    """The variables of one rule for one trigger, loaded as they are needed."""

    __slots__ = ("_budget", "_data", "_entries", "_loaded")

    def __init__(self, data: Mapping[str, Any], entries: Sequence[Any], budget: Budget) -> None:
        self._data = dict(data)
        self._entries = list(entries)
        self._loaded = [False] * len(self._entries)
        self._budget = budget

    def with_element(self, element: Any, index: int, entries: Sequence[Any]) -> RuleContext:
        """The context inside a foreach: `element`, `elementIndex`, and the foreach's own entries after the rule's."""
        numbered = {"element": element, "element0": element, "elementIndex": index, "elementIndex0": index}
        inner = RuleContext({**self._data, **numbered}, [*self._entries, *entries], self._budget)
        inner._loaded[: len(self._loaded)] = self._loaded
        return inner

    def resolve(self, expression: str) -> Any:
        """The value of an expression; raises Unresolved or Unsimulated."""
        return self._resolve(expression, len(self._entries))

    def _resolve(self, expression: str, limit: int) -> Any:
        from bot.manifests.kyverno.query import search

        for index in range(limit):
            if self._loaded[index]:
                continue
            entry = mapping(self._entries[index])
            name = text_of(entry.get("name"))
            if name and name in expression and re.search(rf"\b{re.escape(name)}\b", expression):
                self._loaded[index] = True
                self._data[name] = self._load(name, entry, index)
        return search(expression, self._data, self._budget)

    def _load(self, name: str, entry: Mapping[str, Any], index: int) -> Any:
        for source in ("configMap", "apiCall", "imageRegistry", "globalReference"):
            if entry.get(source) is not None:
                raise Unsimulated(f"the variable {name} comes from {source}")
        variable = mapping(entry.get("variable"))

        def resolve(expression: str) -> Any:
            return self._resolve(expression, index)

        path = substitute(variable.get("jmesPath"), resolve, self._budget) or ""
        if not isinstance(path, str):
            raise Unresolved(f"the jmesPath of the variable {name} is no string")
        default = substitute(variable.get("default"), resolve, self._budget)
        found = default
        if variable.get("value") is not None:
            found = substitute(variable["value"], resolve, self._budget)
        if path:
            found = self._query(path, default, found if variable.get("value") is not None else None, index)
        if found is None:
            raise Unresolved(f"the variable {name} has no value")
        Budget(MAX_VALUE).measure(found)
        return found

    def _query(self, path: str, default: Any, within: Any, index: int) -> Any:
        from bot.manifests.kyverno.query import search

        try:
            if within is not None:
                return search(path, within, self._budget)
            found = self._resolve(path, index)
            return default if found is None else found
        except Unresolved:
            if default is None:
                raise
            return default
