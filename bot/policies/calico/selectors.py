"""A Calico selector as text in, its tree out; canonical text and matches of a tree.

Semantics: projectcalico/calico, libcalico-go/lib/selector (`tokenizer`, `parser`, `ast`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

LONGEST = 1024
_LONGEST_LABEL = 512
_DEEPEST = 100
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")
_BLANK = " \t"
_SYMBOLS = ("&&", "||", "==", "!=", "(", ")", "{", "}", ",", "!")
_HALVES = {"&": "&&", "|": "||", "=": "=="}
_FUNCTIONS = ("has(", "all(", "global(")


class BadSelector(ValueError):
    """What is wrong with a selector, and at which character (from 0)."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(f"{reason} (character {at + 1})")
        self.at = at


class All(NamedTuple):
    """`all()`, and the blank selector."""

    tag: str = "all"


class Global(NamedTuple):
    """`global()`: like `all()`, but for what a rule's namespaceSelector makes of it."""

    tag: str = "global"


class Has(NamedTuple):
    """The label exists."""

    key: str
    tag: str = "has"


class Compare(NamedTuple):
    """A label against values: `==`, `!=`, `in`, `not in`, `contains`, `starts with`, `ends with`.

    Without the label, `!=` and `not in` are true and the others false.
    """

    key: str
    operator: str
    values: tuple[str, ...]
    tag: str = "compare"


class Every(NamedTuple):
    """Parts joined by `&&`."""

    parts: tuple[Node, ...]
    tag: str = "every"


class Some(NamedTuple):
    """Parts joined by `||`."""

    parts: tuple[Node, ...]
    tag: str = "some"


class Negation(NamedTuple):
    """`!` before an operation."""

    inner: Node
    tag: str = "negation"


Node = All | Global | Has | Compare | Every | Some | Negation
ALL = All()


class _Token(NamedTuple):
    """`kind`: a symbol, an operator, `label`, `string`, `has`, `all`, `global` or `end`."""

    kind: str
    value: str
    at: int


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    """The tree of a selector; a blank one is `all()`. Raises BadSelector."""
    tokens = _tokens(text)
    if len(tokens) == 1:
        return ALL
    parser = _Parser(tokens)
    found = parser.either(0)
    if parser.peek().kind != "end":
        raise BadSelector(f"&& or || is missing before {_shown(parser.peek())}", parser.peek().at)
    return found


def _tokens(text: str) -> list[_Token]:
    out: list[_Token] = []
    at = 0
    while True:
        at = _skip(text, at)
        if at == len(text):
            out.append(_Token("end", "", at))
            return out
        first = text[at]
        symbol = next((symbol for symbol in _SYMBOLS if text.startswith(symbol, at)), None)
        if symbol is not None:
            out.append(_Token(symbol, symbol, at))
            at += len(symbol)
        elif first in _HALVES:
            raise BadSelector(f"a single {first}, where {_HALVES[first]} was meant", at)
        elif first in "'\"":
            end = text.find(first, at + 1)
            if end < 0:
                raise BadSelector(f"a string without its closing {first}", at)
            out.append(_Token("string", text[at + 1 : end], at))
            at = end + 1
        elif out and out[-1].kind == "label":
            kind, end = _operator(text, at)
            out.append(_Token(kind, kind, at))
            at = end
        else:
            token, at = _word(text, at)
            out.append(token)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _operator(text: str, at: int) -> tuple[str, int]:
    """An operator in letters; they are looked for right after a label, and nowhere else."""
    for first, second, kind in (
        ("contains", "", "contains"),
        ("starts", "with", "starts with"),
        ("ends", "with", "ends with"),
        ("not", "in", "not in"),
        ("in", "", "in"),
    ):
        if text.startswith(first, at):
            end = _skip(text, at + len(first)) if second else at + len(first)
            if text.startswith(second, end):
                return kind, end + len(second)
    known = "==, !=, in, not in, contains, starts with, ends with"
    raise BadSelector(f"an operator is missing after the label ({known})", at)


def _word(text: str, at: int) -> tuple[_Token, int]:
    for function in _FUNCTIONS:
        if text.startswith(function, at):
            inner = _skip(text, at + len(function))
            end = inner
            if function == "has(":
                end = _label_end(text, inner)
                if end == inner:
                    raise BadSelector("has( without a label", inner)
            closing = _skip(text, end)
            if not text.startswith(")", closing):
                raise BadSelector(f"{function} is not closed", closing)
            return _Token(function[:-1], text[inner:end], at), closing + 1
    end = _label_end(text, at)
    if end == at:
        hint = ", which a selector cannot have (of YAML's | block, write >- instead)" if text[at] in "\r\n" else ""
        raise BadSelector(f"{text[at]!r}{hint} is no part of a selector", at)
    return _Token("label", text[at:end], at), end


def _label_end(text: str, at: int) -> int:
    end = at
    while end < len(text) and text[end] in _LABEL and end - at < _LONGEST_LABEL:
        end += 1
    return end


def _shown(token: _Token) -> str:
    if token.kind == "end":
        return "the end"
    return repr(token.value[:40]) if token.kind in ("label", "string") else token.kind


class _Parser:
    """Recursive descent: `||` binds least, then `&&`, then any number of `!` on one operation."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def peek(self) -> _Token:
        return self._tokens[self._at]

    def take(self) -> _Token:
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def either(self, depth: int) -> Node:
        if depth > _DEEPEST:
            raise BadSelector("too many parentheses inside of each other", self.peek().at)
        parts = [self._both(depth)]
        while self.peek().kind == "||":
            self.take()
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _both(self, depth: int) -> Node:
        parts = [self._operation(depth)]
        while self.peek().kind == "&&":
            self.take()
            parts.append(self._operation(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _operation(self, depth: int) -> Node:
        negated = False
        while self.peek().kind == "!":
            self.take()
            negated = not negated
        found = self._plain(depth)
        return Negation(found) if negated else found

    def _plain(self, depth: int) -> Node:
        token = self.take()
        if token.kind == "has":
            return Has(token.value)
        if token.kind == "all":
            return ALL
        if token.kind == "global":
            return Global()
        if token.kind == "(":
            found = self.either(depth + 1)
            closing = self.take()
            if closing.kind != ")":
                raise BadSelector(f") is missing before {_shown(closing)}", closing.at)
            return found
        if token.kind != "label":
            raise BadSelector(f"a label, has(), all(), ! or ( is missing before {_shown(token)}", token.at)
        operator = self.take()
        if operator.kind in ("in", "not in"):
            return Compare(token.value, operator.kind, self._values())
        if operator.kind not in ("==", "!=", "contains", "starts with", "ends with"):
            raise BadSelector(f"an operator is missing after the label {token.value[:40]!r}", operator.at)
        value = self.take()
        if value.kind != "string":
            raise BadSelector(f"a value in quotes is missing after {operator.kind}", value.at)
        return Compare(token.value, operator.kind, (value.value,))

    def _values(self) -> tuple[str, ...]:
        token = self.take()
        if token.kind != "{":
            raise BadSelector("a set of values in braces is missing", token.at)
        values: list[str] = []
        while self.peek().kind == "string":
            values.append(self.take().value)
            if self.peek().kind != ",":
                break
            self.take()
        token = self.take()
        if token.kind != "}":
            raise BadSelector(f"}} is missing before {_shown(token)}", token.at)
        return tuple(sorted(set(values), key=lambda value: value.encode("utf-8", "surrogatepass")))


def canonical(node: Node) -> str:
    """The text that Calico makes of a tree: equal selectors of different spacing and quotes have the same."""
    if isinstance(node, (All, Global)):
        return f"{node.tag}()"
    if isinstance(node, Has):
        return f"has({node.key})"
    if isinstance(node, Compare):
        if node.operator in ("in", "not in"):
            return f"{node.key} {node.operator} {{{', '.join(map(_quoted, node.values))}}}"
        return f"{node.key} {node.operator} {_quoted(node.values[0])}"
    if isinstance(node, Negation):
        return f"!{canonical(node.inner)}"
    joint = " && " if isinstance(node, Every) else " || "
    return f"({joint.join(map(canonical, node.parts))})"


def _quoted(value: str) -> str:
    return f"'{value}'" if '"' in value else f'"{value}"'


def matches(node: Node, labels: Mapping[str, str]) -> bool:
    """Whether an object with these labels is selected."""
    if isinstance(node, (All, Global)):
        return True
    if isinstance(node, Has):
        return node.key in labels
    if isinstance(node, Negation):
        return not matches(node.inner, labels)
    if isinstance(node, Every):
        return all(matches(part, labels) for part in node.parts)
    if isinstance(node, Some):
        return any(matches(part, labels) for part in node.parts)
    return compare(node, labels.get(node.key))


def compare(node: Compare, value: str | None) -> bool:
    """One comparison with the value of its label (None: there is none)."""
    if node.operator in ("!=", "not in"):
        return value is None or value not in node.values
    if value is None:
        return False
    if node.operator in ("==", "in"):
        return value in node.values
    if node.operator == "contains":
        return node.values[0] in value
    return value.startswith(node.values[0]) if node.operator == "starts with" else value.endswith(node.values[0])


def rewrite(node: Node, leaf: Callable[[Node], Node]) -> Node:
    """The same tree with every leaf replaced."""
    if isinstance(node, Negation):
        return Negation(rewrite(node.inner, leaf))
    if isinstance(node, Every):
        return Every(tuple(rewrite(part, leaf) for part in node.parts))
    if isinstance(node, Some):
        return Some(tuple(rewrite(part, leaf) for part in node.parts))
    return leaf(node)


def mentions(node: Node, what: type[Node]) -> bool:
    """Whether a leaf of this kind is anywhere in the tree."""
    if isinstance(node, Negation):
        return mentions(node.inner, what)
    if isinstance(node, (Every, Some)):
        return any(mentions(part, what) for part in node.parts)
    return isinstance(node, what)
