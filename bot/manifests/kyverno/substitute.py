"""Documents with `{{ … }}` variables and a way to resolve one in; plain documents out.

Follows kyverno pkg/engine/variables/vars.go: a string that is one variable takes its value and type, any other gets its
text; values are searched for variables again; `\\{{` is a literal `{{`; `{{- … }}` is not searched again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from bot.manifests.kyverno.model import Budget, Unresolved, Unsimulated

Resolve = Callable[[str], Any]
"""The value of one expression; raises Unresolved or Unsimulated."""

_VARIABLE = re.compile(r"(^|[^\\])(\{\{(?:\{[^{}]*\}|[^{}])*\}\})")
_REFERENCE = re.compile(r"^\$\(.[^ ]*\)|[^\\]\$\(.[^ ]*\)")
_ESCAPED_REFERENCE = re.compile(r"\\(\$\(.[^ )]*\))")
MAX_ROUNDS = 32
MAX_TEXT = 65_536
MAX_DEPTH = 64


def substitute(document: Any, resolve: Resolve, budget: Budget, depth: int = 0) -> Any:
    """`document` with every variable resolved, in keys too. Parts without a variable are shared, not copied."""
    if isinstance(document, str):
        return substitute_text(document, resolve, budget)
    if depth > MAX_DEPTH:
        raise Unsimulated(f"a document is nested deeper than {MAX_DEPTH} levels")
    if isinstance(document, dict):
        budget.spend(len(document))
        return {
            substitute_key(key, resolve, budget): substitute(value, resolve, budget, depth + 1)
            for key, value in document.items()
        }
    if isinstance(document, list):
        budget.spend(len(document))
        return [substitute(value, resolve, budget, depth + 1) for value in document]
    return document


def substitute_key(key: Any, resolve: Resolve, budget: Budget) -> Any:
    """A mapping's key with its variables resolved: a missing value leaves it, one that is no string is an error."""
    if not isinstance(key, str) or ("{{" not in key and "$(" not in key):
        return key
    found = substitute_text(key, resolve, budget)
    if found is None:
        return key
    if not isinstance(found, str):
        raise Unresolved(f"the key '{key[:60]}' does not become a string")
    return found


def substitute_text(text: str, resolve: Resolve, budget: Budget) -> Any:
    """The value of one string: any JSON value where it is exactly one variable, else a string."""
    if "{{" not in text and "$(" not in text:
        return text
    if len(text) > MAX_TEXT:
        raise Unsimulated(f"a text with variables is longer than {MAX_TEXT} characters")
    budget.spend(1 + len(text) // 16)
    if _REFERENCE.search(text):
        raise Unsimulated("references of the form $(path) are not simulated")
    text = _ESCAPED_REFERENCE.sub(r"\1", text)
    variables = _VARIABLE.findall(text)
    rounds = 0
    while variables:
        rounds += 1
        if rounds > MAX_ROUNDS:
            raise Unsimulated("a variable's value names variables again and again")
        whole, shallow = text, False
        for prefix, variable in variables:
            expression, shallow = _expression(variable)
            if "@" in expression and expression.strip() == "@":
                raise Unsimulated("the variable {{@}} is not simulated")
            value = resolve(expression)
            if whole == variable:
                return value
            text = text.replace(prefix + variable, prefix + _text(value, shallow, budget), 1)
            if len(text) > MAX_TEXT:
                raise Unsimulated(f"variables make a text longer than {MAX_TEXT} characters")
            budget.spend(1 + len(text) // 16)
        variables = [] if shallow else _VARIABLE.findall(text)
    return text.replace("\\{{", "{{")


def _expression(variable: str) -> tuple[str, bool]:
    expression = variable.replace("{{", "").replace("}}", "").strip()
    if expression.startswith("-"):
        return expression[1:].strip(), True
    return expression, False


def _text(value: Any, shallow: bool, budget: Budget) -> str:
    if isinstance(value, str):
        return value.replace("{{", "\\{{") if shallow else value
    if shallow and value is not None:
        raise Unresolved("a variable of the form {{- … }} is no string")
    from bot.manifests.kyverno.functions import to_json

    budget.measure(value)
    return to_json(value)
