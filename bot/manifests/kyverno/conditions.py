"""A precondition's key, operator and value in, their variables resolved; whether it holds out.

Follows kyverno pkg/engine/variables/operator. Comparisons are made between numbers only; durations, quantities and
versions in comparison operators, and ranges such as `1-5`, are not simulated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from bot.manifests.kyverno.model import Budget, Unresolved, Unsimulated, items, mapping, match_wildcard, text_of
from bot.manifests.kyverno.quantities import parse_duration, parse_quantity
from bot.manifests.kyverno.substitute import Resolve, substitute

_RANGE = re.compile(r"[-|+]?\d+(?:\.\d+)?[A-Za-z]*!?-[-|+]?\d+(?:\.\d+)?[A-Za-z]*\Z")


def conditions_hold(conditions: Any, resolve: Resolve, budget: Budget) -> bool:
    """Whether `preconditions` holds: absent, `{any, all}`, a list of such, or the old plain list of conditions.

    Raises Unresolved where Kyverno reports an error and Unsimulated where an operator is not simulated.
    """
    if conditions is None:
        return True
    if isinstance(conditions, list):
        return all(
            _any_all_holds(entry, resolve, budget)
            if "any" in entry or "all" in entry
            else _holds(entry, resolve, budget)
            for entry in map(mapping, conditions)
        )
    if not isinstance(conditions, dict):
        raise Unresolved("preconditions is neither a mapping nor a list")
    return _any_all_holds(conditions, resolve, budget)


def _any_all_holds(block: Mapping[str, Any], resolve: Resolve, budget: Budget) -> bool:
    if block.get("any") is not None and not any(_holds(mapping(e), resolve, budget) for e in items(block["any"])):
        # Kyverno goes on to evaluate `all`, whose errors win.
        all(_holds(mapping(entry), resolve, budget) for entry in items(block.get("all")))
        return False
    return all(_holds(mapping(entry), resolve, budget) for entry in items(block.get("all")))


def _holds(condition: Mapping[str, Any], resolve: Resolve, budget: Budget) -> bool:
    key = substitute(condition.get("key"), resolve, budget)
    value = substitute(condition.get("value"), resolve, budget)
    budget.measure(key)
    budget.measure(value)
    name = text_of(condition.get("operator")).lower()
    operator = _OPERATORS.get(name)
    if operator is None:
        if name in _DURATION_OPERATORS:
            raise Unsimulated(f"the operator {condition.get('operator')} is not simulated")
        raise Unresolved(f"there is no operator '{str(condition.get('operator'))[:40]}'")
    return operator(key, value, budget)


def _text(value: Any) -> str:
    """A scalar as Go's fmt.Sprint prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    if isinstance(value, float) and value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _equal(key: Any, value: Any, budget: Budget) -> bool:
    if isinstance(key, bool):
        return isinstance(value, bool) and key == value
    if _is_number(key):
        if isinstance(value, str):
            try:
                return float(key) == (int(value) if isinstance(key, int) else float(value))
            except (ValueError, OverflowError):
                return False
        return _is_number(value) and key == value
    if isinstance(key, str):
        return _equal_text(key, value)
    if isinstance(key, (dict, list)):
        return type(key) is type(value) and key == value
    return False


def _equal_text(key: str, value: Any) -> bool:
    duration = parse_duration(key)
    if duration is not None:
        other = value if _is_number(value) else parse_duration(value) if isinstance(value, str) else None
        if other is not None:
            return duration == other
    if not isinstance(value, str):
        return False
    quantity = parse_quantity(key)
    if quantity is not None:
        return quantity == parse_quantity(value)
    return match_wildcard(value, key)


def _not_equal(key: Any, value: Any, budget: Budget) -> bool:
    # A key of no supported type (null) satisfies neither Equals nor NotEquals.
    return key is not None and not _equal(key, value, budget)


def _same(one: str, other: str) -> bool:
    return match_wildcard(one, other) or match_wildcard(other, one)


def _found(key: str, values: list[str]) -> bool:
    return any(_same(key, value) for value in values)


def _any_in(keys: list[str], values: list[str]) -> bool:
    return any(_found(key, values) for key in keys)


def _all_in(keys: list[str], values: list[str]) -> bool:
    return all(_found(key, values) for key in keys)


def _any_not_in(keys: list[str], values: list[str]) -> bool:
    return any(not _found(key, values) for key in keys)


def _all_not_in(keys: list[str], values: list[str]) -> bool:
    return not _any_in(keys, values)


def _in_exact(keys: list[str], values: list[str]) -> bool:
    return set(keys) <= set(values)


def _not_in_exact(keys: list[str], values: list[str]) -> bool:
    return not set(keys) <= set(values)


def _values(value: Any, json_only: bool) -> list[str] | None:
    """The texts an In operator looks in: a list, a JSON list in a text, or (unless `json_only`) one text. None: no list
    of any kind."""
    if isinstance(value, list):
        return [_text(entry) for entry in value]
    if not isinstance(value, str):
        return None
    if _RANGE.match(value):
        raise Unsimulated("a range in an In operator is not simulated")
    import json

    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return None if json_only else [value]
    if parsed is None:
        return []
    return parsed if isinstance(parsed, list) and all(isinstance(entry, str) for entry in parsed) else None


def _membership(
    for_list: Callable[[list[str], list[str]], bool], negative: bool, json_only: bool = False
) -> Callable[[Any, Any, Budget], bool]:
    def holds(key: Any, value: Any, budget: Budget) -> bool:
        if isinstance(key, list):
            if isinstance(value, str) and len(key) == 1 and _text(key[0]) == value:
                return not negative
            values = _values([value] if _is_number(value) or isinstance(value, bool) else value, json_only)
            if values is None:
                return False
            budget.spend(len(key) * len(values))
            return for_list([_text(entry) for entry in key], values)
        if key is None or isinstance(key, dict):
            return False
        text = _text(key)
        if isinstance(value, str):
            if match_wildcard(value, text):
                return not negative
            values = _values(value, json_only)
            return False if values is None else (text in values) is not negative
        if not isinstance(value, list):
            return False
        budget.spend(len(value))
        return _found(text, [_text(entry) for entry in value]) is not negative

    return holds


def _comparison(compare: Callable[[float, float], bool]) -> Callable[[Any, Any, Budget], bool]:
    def holds(key: Any, value: Any, budget: Budget) -> bool:
        numbers = []
        for side in (key, value):
            if isinstance(side, str):
                plain = parse_quantity(side)
                if plain is None or not side.lstrip("+-").replace(".", "", 1).isdecimal():
                    raise Unsimulated("durations, quantities and versions are not compared")
                numbers.append(float(plain))
            elif _is_number(side):
                numbers.append(side)
            else:
                return False
        return compare(numbers[0], numbers[1])

    return holds


_OPERATORS: dict[str, Callable[[Any, Any, Budget], bool]] = {
    "equal": _equal,
    "equals": _equal,
    "notequal": _not_equal,
    "notequals": _not_equal,
    "in": _membership(_in_exact, False, json_only=True),
    "notin": _membership(_not_in_exact, True, json_only=True),
    "anyin": _membership(_any_in, False),
    "allin": _membership(_all_in, False),
    "anynotin": _membership(_any_not_in, True),
    "allnotin": _membership(_all_not_in, True),
    "greaterthan": _comparison(lambda a, b: a > b),
    "greaterthanorequals": _comparison(lambda a, b: a >= b),
    "lessthan": _comparison(lambda a, b: a < b),
    "lessthanorequals": _comparison(lambda a, b: a <= b),
}
_DURATION_OPERATORS = frozenset(
    {"durationgreaterthan", "durationgreaterthanorequals", "durationlessthan", "durationlessthanorequals"}
)
