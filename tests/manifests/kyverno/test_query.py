"""JMESPath as Kyverno's fork of go-jmespath reads it, and Kyverno's functions."""

from __future__ import annotations

from typing import Any

import pytest

from bot.manifests.kyverno.model import Budget, Unresolved, Unsimulated
from bot.manifests.kyverno.query import Unknown, search

DATA: dict[str, Any] = {
    "a": {"b": "x", "none": None, "list": [1, 2, 3], "e": ""},
    "items": [{"n": "one", "v": 1}, {"n": "two"}],
    "labels": {"app.kubernetes.io/name": "web", "z": "1"},
    "user": Unknown("it reads who makes the request"),
}


def ask(expression: str, data: Any = DATA) -> Any:
    return search(expression, data, Budget(100_000))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a.b", "x"), ("a.none", None), ("a.none.c", None), ("a.b.c", None), ("a.missing || 'd'", "d"), ("a.e || 'd'", "d"),
        ("a.missing.b || 'd'", "d"), ("a.missing && 'x'", None), ("!(a.missing)", True), ("!(a.b)", False), ("!a.b", None),
        ("a.missing | @", None),
        ("a.missing == 'x'", False), ("a.missing != 'x'", True), ("a.list[0] < a.list[1]", True), ("'a' < 'b'", None),
        ("items[].v", [1]), ("items[*].n", ["one", "two"]), ("items[?v == `1`].n", ["one"]), ("items[?v].n | [0]", "one"),
        ("labels.*", ["web", "1"]), ('labels."app.kubernetes.io/name"', "web"), ("a.list[-1]", 3), ("a.list[9]", None),
        ("a.list[::-1]", [3, 2, 1]), ("{n: a.b, m: a.missing}", {"n": "x", "m": None}), ("[a.b, a.missing]", ["x", None]),
        ("a.list[]", [1, 2, 3]), ("length(items)", 2), ("sort_by(items, &n)[1].n", "two"),
        ("map(&n, items)", ["one", "two"]), ("not_null(a.missing, 'd')", "d"), ("`0` || 'd'", 0), ("b | c | d", None),
    ],
)  # fmt: skip
def test_expressions(expression: str, value: Any) -> None:
    assert ask(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "a.missing",
        "missing",
        "a.missing.b",
        "",
        "a.",
        "nope(a)",
        "to_upper(a.missing)",
        "to_upper(a)",
        "length(`1`)",
        "a ||",
    ],
)
def test_errors(expression: str) -> None:
    with pytest.raises(Unresolved):
        ask(expression)


@pytest.mark.parametrize("expression", ["user", "user.name", "user || 'x'", "to_string(@)"])
def test_what_only_the_cluster_knows(expression: str) -> None:
    with pytest.raises(Unsimulated):
        ask(expression)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("compare('a', 'b')", -1), ("compare('b', 'a')", 1), ("compare('a', 'a')", 0), ("equal_fold('aB', 'Ab')", True),
        ("replace('aaa', 'a', 'b', `2`)", "bba"), ("replace('aaa', 'a', 'b', `-1`)", "bbb"), ("replace_all('a-b-c', '-', '.')", "a.b.c"),
        ("to_upper('aB')", "AB"), ("to_lower('aB')", "ab"), ("trim('--a-', '-')", "a"), ("trim('a', '')", "a"),
        ("trim_prefix('v1', 'v')", "1"), ("trim_prefix('v1', 'x')", "v1"), ("split('a,b', ',')", ["a", "b"]),
        ("split('ab', '')", ["a", "b"]),
        ("regex_match('^a+$', 'aaa')", True), ("regex_match('^[0-9]$', `5`)", True), ("regex_match('^a$', 'b')", False),
        ("regex_replace_all('a(.)', 'abac', '<$1>')", "<b><c>"), ("regex_replace_all('(?P<x>a)', 'a', '${x}$$')", "a$"),
        ("regex_replace_all('a', 'a', '$9$zz')", ""), ("regex_replace_all_literal('a(.)', 'ab', '$1')", "$1"),
        ("pattern_match('a*', 'abc')", True), ("pattern_match('8?', `80`)", True),
        ("label_match(`{\"a\": 1}`, `{\"a\": 1, \"b\": 2}`)", True),
        ("label_match(`{\"a\": 1}`, `{}`)", False), ("to_boolean('True')", True), ("to_boolean('false')", False),
        ("add(`1`, `2`)", 3), ("sum(`[1, 2, 3]`)", 6), ("subtract(`3`, `1`)", 2), ("multiply(`2`, `3`)", 6), ("divide(`3`, `2`)", 1.5),
        ("modulo(`7`, `4`)", 3), ("modulo(`-7`, `4`)", -3), ("round(`2.345`, `2`)", 2.35), ("round(`-2.5`, `0`)", -3),
        ("base64_encode('a')", "YQ=="), ("base64_decode('YQ==')", "a"), ("path_canonicalize('/a//b/../c')", "/a/c"),
        ("path_canonicalize('//a')", "/a"), ("path_canonicalize('')", ""), ("truncate('abcdef', `3`)", "abc"),
        ("truncate('abc', `-1`)", ""),
        ("parse_yaml('{a: [1, yes]}')", {"a": [1, True]}), ("parse_json('{\"a\": [1]}')", {"a": [1]}),
        ("lookup(`{\"a\": 1}`, 'a')", 1), ("lookup(`{\"a\": 1}`, 'b')", None),
        ("lookup(`[5, 6]`, `1`)", 6), ("lookup(`[5]`, `3`)", None), ("items(`{\"b\": 2, \"a\": 1}`, 'k', 'v')", [{"k": "a",
        "v": 1}, {"k": "b", "v": 2}]),
        ("items(`[\"x\"]`, 'k', 'v')", [{"k": 0, "v": "x"}]), ("object_from_lists(`[\"a\", 1]`, `[9]`)", {"a": 9, "1": None}),
        ("md5('a')", "0cc175b9c0f1b6a831c399e269772661"), ("sha1('a')", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
        ("sha256('a')", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("to_string(`{\"b\": 1.0, \"a\": [true, null]}`)", '{"a":[true,null],"b":1}'), ("to_string('<a>')", "<a>"),
        ("to_string(`[\"<&>\"]`)", '["\\u003c\\u0026\\u003e"]'), ("join('-', ['a', 'b'])", "a-b"),
    ],
)  # fmt: skip
def test_functions(expression: str, value: Any) -> None:
    if "regex" in expression:
        pytest.importorskip("re2")
    assert ask(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "to_boolean('yes')", "sum(`[]`)", "divide(`1`, `0`)", "modulo(`1.5`, `1`)", "modulo(`1`, `0`)", "round(`1`, `-1`)",
        "base64_decode('?')", "parse_yaml('{')", "parse_json('{')", "lookup(`{}`, `1`)", "lookup(`[1]`, 'a')", "lookup(`[1]`, `0.5`)",
        "object_from_lists(`[[]]`, `[]`)", "add(`true`, `1`)", "add(`1e301`, `1`)", "replace('a', 'a', 'b', `1e999`)",
    ],
)  # fmt: skip
def test_function_errors(expression: str) -> None:
    with pytest.raises(Unresolved):
        ask(expression)


def test_an_invalid_regular_expression_is_an_error() -> None:
    pytest.importorskip("re2")
    with pytest.raises(Unresolved):
        ask("regex_match('(', 'a')")


@pytest.mark.parametrize(
    "expression",
    [
        "random('a')",
        "time_now()",
        "x509_decode('a')",
        "is_external_url('a')",
        "semver_compare('1', '2')",
        "add('1Gi', '1Gi')",
    ],
)
def test_functions_that_are_not_simulated(expression: str) -> None:
    with pytest.raises(Unsimulated):
        ask(expression)
