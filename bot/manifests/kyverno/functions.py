"""The functions that Kyverno adds to JMESPath (kyverno pkg/engine/jmespath/functions.go).

Those whose result a repository does not determine (time, random, DNS, a registry) and those on certificates, images and
versions raise Unsimulated. Importing this module imports jmespath.
"""

from __future__ import annotations

import base64
import hashlib
import json
import posixpath
from collections.abc import Callable, Iterable
from typing import Any

from jmespath.functions import Functions, signature

from bot.manifests.kyverno.model import Budget, Unresolved, Unsimulated, match_wildcard
from bot.manifests.kyverno.patterns import regex_match, regex_replace

MAX_TEXT = 65_536
"""The longest text a function may build, in characters."""

NOT_SIMULATED = frozenset(
    {
        "random", "x509_decode", "image_normalize", "is_external_url", "semver_compare", "time_since", "time_now",
        "time_now_utc", "time_to_cron", "time_add", "time_parse", "time_utc", "time_diff", "time_before", "time_after",
        "time_between", "time_truncate",
    }
)  # fmt: skip

_STRING: Any = {"types": ["string"]}
_NUMBER: Any = {"types": ["number"]}
_SCALAR: Any = {"types": ["string", "number"]}
_ANY: Any = {"types": []}
_ARRAY: Any = {"types": ["array"]}
_OBJECT: Any = {"types": ["object"]}
_STRINGS: Any = {"types": ["array-string"]}
_COLLECTION: Any = {"types": ["object", "array"]}


def to_json(value: Any) -> str:
    """`value` as Go's encoding/json prints it: sorted keys, no spaces, whole floats without a fraction."""
    text = json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def scalar_text(value: Any) -> str:
    """A string, number or boolean as text."""
    return value if isinstance(value, str) else to_json(value)


def _whole(value: Any) -> Any:
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise Unresolved("a number is not finite")
        return int(value) if value == int(value) and abs(value) < 1e21 else value
    if isinstance(value, dict):
        return {str(key): _whole(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_whole(child) for child in value]
    if value is None or isinstance(value, (str, int)):
        return value
    raise Unsimulated("a value that only the cluster knows is printed")


def _fail(message: str) -> Any:
    raise Unresolved(message)


def _bounded(length: int) -> None:
    if length > MAX_TEXT:
        raise Unsimulated(f"a function builds a text of more than {MAX_TEXT} characters")


class KyvernoFunctions(Functions):
    """JMESPath's own functions and Kyverno's; `budget` pays for what they build."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> Any:
        if function_name in NOT_SIMULATED:
            raise Unsimulated(f"the function {function_name}() is not simulated")
        result = super().call_function(function_name, resolved_args)
        self._budget.spend(len(result) if isinstance(result, (list, dict)) else 1)
        return result

    @signature(_ANY)
    def _func_to_string(self, value: Any) -> str:
        text = scalar_text(value)
        _bounded(len(text))
        return text

    @signature(_STRING, _STRINGS)
    def _func_join(self, separator: str, parts: list[str]) -> str:
        _bounded(sum(map(len, parts)) + len(separator) * len(parts))
        return separator.join(parts)

    @signature(_STRING, _STRING)
    def _func_compare(self, left: str, right: str) -> int:
        a, b = left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass")
        return (a > b) - (a < b)

    @signature(_STRING, _STRING)
    def _func_equal_fold(self, left: str, right: str) -> bool:
        return left.casefold() == right.casefold()

    @signature(_STRING, _STRING, _STRING, _NUMBER)
    def _func_replace(self, text: str, old: str, new: str, count: float) -> str:
        times = int(count)
        _bounded(len(text) + (text.count(old) if times < 0 else min(text.count(old), times)) * len(new))
        return text.replace(old, new, times)

    @signature(_STRING, _STRING, _STRING)
    def _func_replace_all(self, text: str, old: str, new: str) -> str:
        _bounded(len(text) + text.count(old) * len(new))
        return text.replace(old, new)

    @signature(_STRING)
    def _func_to_upper(self, text: str) -> str:
        return text.upper()

    @signature(_STRING)
    def _func_to_lower(self, text: str) -> str:
        return text.lower()

    @signature(_STRING, _STRING)
    def _func_trim(self, text: str, characters: str) -> str:
        return text.strip(characters) if characters else text

    @signature(_STRING, _STRING)
    def _func_trim_prefix(self, text: str, prefix: str) -> str:
        return text[len(prefix) :] if text.startswith(prefix) else text

    @signature(_STRING, _STRING)
    def _func_split(self, text: str, separator: str) -> list[str]:
        return text.split(separator) if separator else list(text)

    @signature(_STRING, _SCALAR, _SCALAR)
    def _func_regex_replace_all(self, pattern: str, text: Any, new: Any) -> str:
        return regex_replace(pattern, scalar_text(text), scalar_text(new), literal=False)

    @signature(_STRING, _SCALAR, _SCALAR)
    def _func_regex_replace_all_literal(self, pattern: str, text: Any, new: Any) -> str:
        return regex_replace(pattern, scalar_text(text), scalar_text(new), literal=True)

    @signature(_STRING, _SCALAR)
    def _func_regex_match(self, pattern: str, text: Any) -> bool:
        return regex_match(pattern, scalar_text(text))

    @signature(_STRING, _SCALAR)
    def _func_pattern_match(self, pattern: str, text: Any) -> bool:
        return match_wildcard(pattern, scalar_text(text))

    @signature(_OBJECT, _OBJECT)
    def _func_label_match(self, wanted: dict[str, Any], labels: dict[str, Any]) -> bool:
        return all(key in labels and labels[key] == value for key, value in wanted.items())

    @signature(_STRING)
    def _func_to_boolean(self, text: str) -> bool:
        known = {"true": True, "false": False}
        if text.lower() not in known:
            raise Unresolved("to_boolean() takes 'true' or 'false'")
        return known[text.lower()]

    @signature(_ANY, _ANY)
    def _func_add(self, left: Any, right: Any) -> float:
        return _number(left) + _number(right)

    @signature(_ARRAY)
    def _func_sum(self, numbers: list[Any]) -> float:
        return sum(map(_number, numbers)) if numbers else _fail("sum() takes at least one element")

    @signature(_ANY, _ANY)
    def _func_subtract(self, left: Any, right: Any) -> float:
        return _number(left) - _number(right)

    @signature(_ANY, _ANY)
    def _func_multiply(self, left: Any, right: Any) -> float:
        return _number(left) * _number(right)

    @signature(_ANY, _ANY)
    def _func_divide(self, left: Any, right: Any) -> float:
        dividend, divisor = _number(left), _number(right)
        return dividend / divisor if divisor else _fail("divide() by zero")

    @signature(_ANY, _ANY)
    def _func_modulo(self, left: Any, right: Any) -> float:
        dividend, divisor = _number(left), _number(right)
        if dividend != int(dividend) or divisor != int(divisor) or not divisor:
            raise Unresolved("modulo() takes whole numbers, the second not zero")
        rest = abs(int(dividend)) % abs(int(divisor))
        return -rest if dividend < 0 else rest

    @signature(_NUMBER, _NUMBER)
    def _func_round(self, number: float, digits: float) -> float:
        if digits < 0 or digits != int(digits) or digits > 15:
            raise Unresolved("round() takes a whole number of digits")
        shift = 10 ** int(digits)
        rounded: float = int(abs(_number(number)) * shift + 0.5) / shift
        return -rounded if number < 0 else rounded

    @signature(_STRING)
    def _func_base64_decode(self, text: str) -> str:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")

    @signature(_STRING)
    def _func_base64_encode(self, text: str) -> str:
        return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")

    @signature(_STRING)
    def _func_path_canonicalize(self, text: str) -> str:
        path = posixpath.normpath(text) if text else ""
        return path[1:] if path.startswith("//") else path

    @signature(_STRING, _NUMBER)
    def _func_truncate(self, text: str, length: float) -> str:
        return text[: max(0, int(length))]

    @signature(_STRING)
    def _func_parse_json(self, text: str) -> Any:
        return json.loads(text)

    @signature(_STRING)
    def _func_parse_yaml(self, text: str) -> Any:
        from bot.manifests.yaml import Reader

        documents = Reader().read("", text.encode("utf-8", "surrogatepass"))
        if len(documents) != 1 or documents[0].document.error is not None:
            raise Unresolved("parse_yaml() takes one YAML document")
        return documents[0].document.value

    @signature(_COLLECTION, _SCALAR)
    def _func_lookup(self, collection: Any, key: Any) -> Any:
        if isinstance(collection, dict):
            return collection.get(key) if isinstance(key, str) else _fail("lookup() takes a key")
        if isinstance(key, str) or key != int(key):
            raise Unresolved("lookup() takes a whole index")
        return collection[int(key)] if 0 <= key < len(collection) else None

    @signature(_COLLECTION, _STRING, _STRING)
    def _func_items(self, collection: Any, key: str, value: str) -> list[Any]:
        if isinstance(collection, dict):
            return [{key: name, value: collection[name]} for name in sorted(collection)]
        return [{key: index, value: element} for index, element in enumerate(collection)]

    @signature(_ARRAY, _ARRAY)
    def _func_object_from_lists(self, keys: list[Any], values: list[Any]) -> dict[str, Any]:
        if any(key is None or isinstance(key, (dict, list)) for key in keys):
            raise Unresolved("object_from_lists() takes keys that are strings")
        return {scalar_text(key): values[at] if at < len(values) else None for at, key in enumerate(keys)}

    @signature(_STRING)
    def _func_sha256(self, text: str) -> str:
        return _digest(hashlib.sha256, text)

    @signature(_STRING)
    def _func_sha1(self, text: str) -> str:
        return _digest(hashlib.sha1, text)

    @signature(_STRING)
    def _func_md5(self, text: str) -> str:
        return _digest(hashlib.md5, text)


def _digest(algorithm: Callable[..., Any], text: str) -> str:
    return str(algorithm(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest())


def _number(value: Any) -> float:
    if isinstance(value, str):
        raise Unsimulated("arithmetic on quantities and durations is not simulated")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unresolved("arithmetic takes numbers")
    if abs(value) > 1e300:
        raise Unresolved("a number is too large")
    return value
