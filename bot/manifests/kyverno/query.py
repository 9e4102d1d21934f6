"""A JMESPath expression and the data of an admission request in; the value that Kyverno's engine finds out.

Kyverno runs a fork of go-jmespath (github.com/kyverno/go-jmespath) that differs from the specification in one thing: a
key that a mapping does not have is an error, unless an operator (`||`, `&&`, `!`, a pipe, a comparison, a function
argument, a projection) takes it up. Importing this module imports jmespath.
"""

from __future__ import annotations

import warnings
from typing import Any

from jmespath import exceptions, parser, visitor

from bot.manifests.kyverno.functions import KyvernoFunctions
from bot.manifests.kyverno.model import Budget, Unresolved, Unsimulated

MAX_EXPRESSION = 4096
"""The longest expression that is evaluated, in characters."""


class Unknown:
    """A value that only the cluster knows; reading it makes the rule impossible to simulate."""

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what


class _MissingKey(Exception):
    pass


def search(expression: str, data: Any, budget: Budget) -> Any:
    """The value of `expression` in `data`.

    Raises Unresolved where Kyverno reports an error (a syntax error, a key that is not there, a wrong argument), and
    Unsimulated where the value depends on something unknown or costs more than the budget.
    """
    if len(expression) > MAX_EXPRESSION:
        raise Unsimulated(f"an expression is longer than {MAX_EXPRESSION} characters")
    budget.spend(1 + len(expression) // 16)
    try:
        return _Interpreter(budget).visit(_parse(expression), data)
    except _MissingKey as missing:
        raise Unresolved(f"'{_short(expression)}' has no value: there is no key '{_short(str(missing))}'") from None
    except (exceptions.JMESPathError, PendingDeprecationWarning) as error:
        raise Unresolved(f"'{_short(expression)}' is no valid query: {_short(str(error))}") from None
    except RecursionError:
        raise Unsimulated("an expression is nested too deeply") from None
    except (ArithmeticError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        # jmespath assumes sane literals and slices; Kyverno's own engine reports an error for these as well.
        raise Unresolved(f"'{_short(expression)}' cannot be evaluated: {_short(str(error))}") from None


def _parse(expression: str) -> Any:
    if "`" not in expression:
        return parser.Parser().parse(expression).parsed
    with warnings.catch_warnings():
        # jmespath warns and goes on where a literal is no JSON; Go's parser reports an error.
        warnings.simplefilter("error", PendingDeprecationWarning)
        return parser.Parser().parse(expression).parsed


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else line[:117] + "..."


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_false(value: Any) -> bool:
    """What JMESPath takes for false; 0 is not among it."""
    return value is None or value is False or value in ("", [], {})


class _Interpreter(visitor.TreeInterpreter):
    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._kyverno = KyvernoFunctions(budget)
        self._budget = budget

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._budget.spend(1)
        return super().visit(node, *args, **kwargs)

    def _soft(self, node: Any, value: Any) -> Any:
        try:
            return self.visit(node, value)
        except _MissingKey:
            return None

    def visit_field(self, node: Any, value: Any) -> Any:
        if not isinstance(value, dict):
            return None
        try:
            found = value[node["value"]]
        except KeyError:
            raise _MissingKey(node["value"]) from None
        if isinstance(found, Unknown):
            raise Unsimulated(found.what)
        return found

    def visit_comparator(self, node: Any, value: Any) -> Any:
        left, right = [self._soft(child, value) for child in node["children"]]
        self._budget.measure(left)
        self._budget.measure(right)
        if node["value"] not in ("eq", "ne") and not (_is_number(left) and _is_number(right)):
            return None
        return self.COMPARATOR_FUNC[node["value"]](left, right)

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        arguments = [self._soft(child, value) for child in node["children"]]
        self._budget.measure(arguments)
        return self._kyverno.call_function(node["value"], arguments)

    def visit_filter_projection(self, node: Any, value: Any) -> Any:
        base, wanted, condition = node["children"]
        elements = self._soft(base, value)
        if not isinstance(elements, list):
            return None
        return self._project(wanted, [each for each in elements if not _is_false(self._soft(condition, each))])

    def visit_flatten(self, node: Any, value: Any) -> Any:
        elements = self._soft(node["children"][0], value)
        if not isinstance(elements, list):
            return None
        flat: list[Any] = []
        for element in elements:
            flat.extend(element if isinstance(element, list) else [element])
            self._budget.spend(len(element) if isinstance(element, list) else 1)
        return flat

    def visit_multi_select_dict(self, node: Any, value: Any) -> Any:
        if value is None:
            return None
        return {child["value"]: self._soft(child, value) for child in node["children"]}

    def visit_multi_select_list(self, node: Any, value: Any) -> Any:
        if value is None:
            return None
        return [self._soft(child, value) for child in node["children"]]

    def visit_or_expression(self, node: Any, value: Any) -> Any:
        matched = self._soft(node["children"][0], value)
        return self._soft(node["children"][1], value) if _is_false(matched) else matched

    def visit_and_expression(self, node: Any, value: Any) -> Any:
        matched = self._soft(node["children"][0], value)
        return matched if _is_false(matched) else self.visit(node["children"][1], value)

    def visit_not_expression(self, node: Any, value: Any) -> Any:
        return _is_false(self._soft(node["children"][0], value))

    def visit_pipe(self, node: Any, value: Any) -> Any:
        for child in node["children"]:
            value = self._soft(child, value)
        return value

    def visit_projection(self, node: Any, value: Any) -> Any:
        base, wanted = node["children"]
        elements = self._soft(base, value)
        return self._project(wanted, elements) if isinstance(elements, list) else None

    def visit_value_projection(self, node: Any, value: Any) -> Any:
        base, wanted = node["children"]
        elements = self._soft(base, value)
        return self._project(wanted, list(elements.values())) if isinstance(elements, dict) else None

    def _project(self, wanted: Any, elements: list[Any]) -> list[Any]:
        found = [self._soft(wanted, element) for element in elements]
        return [element for element in found if element is not None]
