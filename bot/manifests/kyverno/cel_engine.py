"""CEL expressions and the values they name in; plain values out, within a budget. Importing this imports celpy."""

from __future__ import annotations

import base64
import logging
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import celpy
import lark
from celpy import celtypes, evaluation
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError

from bot.manifests.kyverno.model import Budget, Unresolved, Unsimulated

MAX_EXPRESSION = 8192
MAX_VALUE = 20_000
"""The largest value a variable may have, in nodes and 32 characters of text."""

Get = Callable[[str, str, str, str], dict[str, Any]]
"""resource.Get: apiVersion, plural, namespace and name in, the object out."""

_LIBRARIES = (
    "generator",
    "resource",
    "globalContext",
    "http",
    "image",
    "json",
    "yaml",
    "random",
    "time",
    "x509",
    "hash",
)


class _Library(celtypes.MapType):
    """What the name of one of Kyverno's CEL libraries stands for: its functions take it as their first argument."""

    def __init__(self, name: str) -> None:
        super().__init__({})
        self.library = name


class _Evaluator(evaluation.Evaluator):
    def __init__(self, ast: Any, activation: Any, budget: Budget) -> None:
        super().__init__(ast, activation)
        self.budget = budget

    def sub_evaluator(self, ast: Any) -> _Evaluator:
        return _Evaluator(ast, self.activation, self.budget)

    def visit_children(self, tree: Any) -> Any:
        self.budget.spend(5)
        return super().visit_children(tree)


class Expressions:
    """Parsed CEL expressions, each parsed once."""

    def __init__(self) -> None:
        limit = sys.getrecursionlimit()
        logging.getLogger("celpy").setLevel(logging.CRITICAL)
        self._environment = celpy.Environment()
        sys.setrecursionlimit(limit)
        self._parsed: dict[str, Any] = {}

    def run(
        self, names: Mapping[str, Any], get: Get, made: list[tuple[dict[str, Any], str]], budget: Budget
    ) -> Evaluation:
        """An evaluation with these values; what generator.Apply is given is appended to `made`."""
        return Evaluation(self, names, get, made, budget)

    def parse(self, text: str) -> Any:
        if len(text) > MAX_EXPRESSION:
            raise Unsimulated(f"a CEL expression is longer than {MAX_EXPRESSION} characters")
        if text not in self._parsed:
            try:
                self._parsed[text] = self._environment.compile(_without_trailing_commas(text))
            except (CELParseError, lark.exceptions.LarkError):
                raise Unsimulated("a CEL expression cannot be parsed") from None
            except RecursionError:
                raise Unsimulated("a CEL expression is nested too deeply") from None
        return self._parsed[text]


class Evaluation:
    """The expressions of one policy for one trigger."""

    def __init__(
        self,
        parsed: Expressions,
        names: Mapping[str, Any],
        get: Get,
        made: list[tuple[dict[str, Any], str]],
        budget: Budget,
    ) -> None:
        self._parsed, self._get, self._made, self._budget = parsed, get, made, budget
        self._variables: dict[str, Any] = {}
        self._failed: dict[str, Unresolved | Unsimulated] = {}
        self._context: dict[str, Any] = {name: _Library(name) for name in _LIBRARIES}
        self._context.update((name, to_cel(value)) for name, value in names.items())

    def define(self, name: str, expression: str) -> None:
        """Define `variables.name`; a failure shows when an expression names it."""
        try:
            value = self.evaluate(expression)
            Budget(MAX_VALUE).measure(value)
            self._variables[name] = to_cel(value)
        except (Unresolved, Unsimulated) as problem:
            self._failed[name] = problem

    def evaluate(self, expression: str) -> Any:
        """The plain value of an expression; raises Unresolved or Unsimulated."""
        for name in re.findall(r"\bvariables\s*\.\s*(\w+)", expression):
            if name in self._failed:
                raise self._failed[name]
        tree = self._parsed.parse(expression)
        functions = {"Apply": self._apply, "Get": self._resource, "List": _not_simulated, "Post": _not_simulated}
        variables = celtypes.MapType({celtypes.StringType(k): v for k, v in self._variables.items()})
        try:
            activation = evaluation.Activation(functions=functions)
            return to_plain(
                _Evaluator(tree, activation, self._budget).evaluate({**self._context, "variables": variables})
            )
        except evaluation.CELEvalError as error:
            message = str(error.args[0]) if error.args else ""
            if message.startswith(("no such member", "no such key")):
                raise Unresolved(f"a CEL expression fails: {message[:100]}") from None
            raise Unsimulated("a CEL expression uses what is not simulated") from None
        except RecursionError:
            raise Unsimulated("a CEL expression is nested too deeply") from None
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError):
            raise Unsimulated("a CEL expression cannot be evaluated") from None

    def _apply(self, library: Any, *arguments: Any) -> Any:
        if not isinstance(library, _Library) or library.library != "generator" or len(arguments) not in (1, 2):
            raise Unsimulated("a function named Apply is not generator.Apply")
        plain = [to_plain(argument) for argument in arguments]
        self._budget.measure(plain)
        namespace, objects = ("", plain[0]) if len(plain) == 1 else plain
        if not isinstance(namespace, str) or not isinstance(objects, list):
            raise Unresolved("generator.Apply takes a namespace and a list of objects")
        for value in objects:
            if not isinstance(value, dict):
                raise Unresolved("generator.Apply takes a list of objects")
            listed = value.get("items") if str(value.get("kind", "")).endswith("List") else None
            self._made.extend((entry, namespace) for entry in (listed if isinstance(listed, list) else [value]))
        return celtypes.BoolType(True)

    def _resource(self, library: Any, *arguments: Any) -> Any:
        if not isinstance(library, _Library) or library.library != "resource":
            return _not_simulated()
        plain = [to_plain(argument) for argument in arguments]
        if len(plain) != 4 or not all(isinstance(argument, str) for argument in plain):
            raise Unsimulated("resource.Get takes an apiVersion, a resource, a namespace and a name")
        return to_cel(self._get(*plain))


_STRING_OR_COMMA = re.compile(
    r"""[rR](?:"[^"\n]*"|'[^'\n]*')|\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}"""
    r"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|//[^\n]*|,(?=\s*[\]}])"""
)


def _without_trailing_commas(text: str) -> str:
    """The expression without the commas before a closing bracket, which CEL allows and celpy does not know."""
    return _STRING_OR_COMMA.sub(lambda found: "" if found[0] == "," else found[0], text)


def _not_simulated(*arguments: Any) -> Any:
    raise Unsimulated("a CEL library that reads the cluster is not simulated")


def to_cel(value: Any) -> Any:
    """A plain value as CEL has it; raises Unsimulated for one that CEL has not, such as a number beyond 64 bits."""
    try:
        return json_to_cel(value)
    except (ValueError, TypeError, RecursionError):
        raise Unsimulated("an object has a value that CEL has not") from None


def to_plain(value: Any, depth: int = 0) -> Any:
    """A CEL value as JSON has it; raises Unresolved for one that JSON has not."""
    if depth > 64:
        raise Unsimulated("a value is nested deeper than 64 levels")
    if isinstance(value, (bool, celtypes.BoolType)):
        return bool(value)
    # celpy's operators return plain Python values at times, so the plain types are looked for and not celpy's.
    for plain in (str, int, float):
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, list):
        return [to_plain(entry, depth + 1) for entry in value]
    if isinstance(value, dict) and not isinstance(value, _Library):
        return {str(to_plain(key, depth + 1)): to_plain(entry, depth + 1) for key, entry in value.items()}
    if value is None:
        return None
    raise Unresolved("a CEL expression has a value that JSON has not")
