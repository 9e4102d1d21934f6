"""Preconditions: how they combine, and every operator."""

from __future__ import annotations

from typing import Any

import pytest

from bot.manifests.kyverno.conditions import conditions_hold
from bot.manifests.kyverno.model import Budget, Unresolved, Unsimulated
from bot.manifests.kyverno.quantities import parse_duration, parse_quantity


def holds(conditions: Any) -> bool:
    def resolve(expression: str) -> Any:
        raise Unresolved(expression)

    return conditions_hold(conditions, resolve, Budget(10_000))


def condition(key: Any, operator: str, value: Any) -> dict[str, Any]:
    return {"key": key, "operator": operator, "value": value}


YES, NO, BROKEN = condition("a", "Equals", "a"), condition("a", "Equals", "b"), condition("{{x}}", "Equals", "a")


@pytest.mark.parametrize(
    ("conditions", "answer"),
    [
        (None, True), ([], True), ({}, True), ({"all": []}, True), ({"any": []}, False),
        ([YES], True), ([YES, NO], False), ({"all": [YES, NO]}, False), ({"any": [NO, YES]}, True), ({"any": [NO]}, False),
        ({"any": [YES], "all": [NO]}, False), ([{"any": [NO, YES]}, {"all": [YES]}], True), ([{"any": [NO]}], False),
        ({"any": [YES, BROKEN]}, True), ({"all": [NO, BROKEN]}, False),
    ],
)  # fmt: skip
def test_any_and_all(conditions: Any, answer: bool) -> None:
    assert holds(conditions) is answer


@pytest.mark.parametrize("conditions", [{"any": [BROKEN, YES]}, {"any": [NO], "all": [BROKEN]}, [BROKEN], "text", 3])
def test_an_error_is_an_error(conditions: Any) -> None:
    with pytest.raises(Unresolved):
        holds(conditions)


@pytest.mark.parametrize(
    ("key", "operator", "value", "answer"),
    [
        ("prod", "Equals", "prod", True), ("prod", "equals", "pr*", True), ("prod", "Equal", "dev", False),
        ("prod", "NotEquals", "dev", True), ("prod", "NotEqual", "p*", False), (None, "Equals", None, False),
        (None, "NotEquals", "a", False), ("1h", "Equals", "60m", True), ("1h", "Equals", 3600, True), ("60s", "Equals", "1h", False),
        ("1Gi", "Equals", "1024Mi", True), ("1000m", "Equals", "1", True), ("1Gi", "Equals", "text", False),
        (True, "Equals", True, True), (True, "Equals", "true", False), (1, "Equals", "1", True), (1, "Equals", 1.0, True),
        (1, "Equals", "1.5", False), (1.5, "Equals", "1.5", True), (1, "Equals", "x", False), (1, "Equals", True, False),
        ([1, 2], "Equals", [1, 2], True), ({"a": 1}, "Equals", {"a": 1}, True), ({"a": 1}, "Equals", [], False),
        ("a", "Equals", 1, False),
        ("dev", "AnyIn", ["prod", "d*"], True), ("dev", "AnyIn", ["prod"], False), ("dev", "AnyIn", "dev", True),
        ("dev", "AnyIn", '["prod","dev"]', True), ("dev", "AnyIn", "[1]", False), ("dev", "AnyIn", "null", False),
        ("dev", "AnyIn", 3, False), (["a", "b"], "AnyIn", ["b", "c"], True), (["a"], "AnyIn", "a", True), ([1], "AnyIn", 1, True),
        (["a", "b"], "AllIn", ["a", "b", "c"], True), (["a", "d"], "AllIn", ["a", "b"], False), ([], "AllIn", ["a"], True),
        ("dev", "AnyNotIn", ["prod"], True), ("dev", "AnyNotIn", "dev", False), (["a", "b"], "AnyNotIn", ["a"], True),
        (["a"], "AnyNotIn", ["a"], False), (["a"], "AnyNotIn", "a", False),
        (["a", "b"], "AllNotIn", ["c"], True), (["a", "b"], "AllNotIn", ["a"], False), (None, "AllNotIn", ["a"], False),
        ({"a": 1}, "AnyIn", ["a"], False), (["a", "b"], "In", ["a", "b"], True), (["a*"], "In", ["ab"], False),
        ("a", "In", ["a", "b"], True), ("a", "In", "b", False), ("a", "NotIn", "b", False), ("a", "NotIn", ["b"], True),
        (["a", "c"], "NotIn", ["a"], True), (8080, "AnyIn", ["8080"], True), (True, "AnyIn", ["true"], True), (2.0, "AnyIn", ["2"], True),
        (2, "GreaterThan", 1, True), ("2", "GreaterThanOrEquals", 2, True), (1, "LessThan", "0.5", False), (1, "LessThanOrEquals", 1, True),
        ([], "LessThan", 1, False),
    ],
)  # fmt: skip
def test_operators(key: Any, operator: str, value: Any, answer: bool) -> None:
    assert holds([condition(key, operator, value)]) is answer


@pytest.mark.parametrize(
    ("key", "operator", "value"),
    [
        ("1h", "GreaterThan", "1m"),
        ("1Gi", "LessThan", "2Gi"),
        ("1h", "DurationGreaterThan", "1m"),
        (3, "AnyIn", "1-5"),
        ("v1", "LessThan", 2),
    ],
)
def test_what_is_not_simulated(key: Any, operator: str, value: Any) -> None:
    with pytest.raises(Unsimulated):
        holds([condition(key, operator, value)])


@pytest.mark.parametrize("operator", ["Like", "", None])
def test_an_unknown_operator_is_an_error(operator: Any) -> None:
    with pytest.raises(Unresolved):
        holds([{"key": "a", "operator": operator, "value": "a"}])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.5", 1.5),
        ("-2k", -2000),
        ("1e3", 1000),
        ("2Ki", 2048),
        (".5", 0.5),
        ("1.", 1),
        ("ki", None),
        ("1ki", None),
        ("", None),
        ("1x", None),
    ],
)
def test_quantities(text: str, value: float | None) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("1h30m", 5400), ("-1.5s", -1.5), ("250ms", 0.25), (".5h", 1800), ("0", None), ("1", None), ("1d", None)],
)
def test_durations(text: str, value: float | None) -> None:
    assert parse_duration(text) == value
