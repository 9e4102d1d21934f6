"""The text of one YAML or JSON document in; its value, what is wrong with it, or the lines of its parts out.

Values are as sigs.k8s.io/yaml converts YAML to JSON: keys are strings, merge keys are applied in the order they stand in,
a key that is set twice is an error, as it is to the API server's strict decoding.
"""

from __future__ import annotations

import re
from operator import is_
from sys import intern
from typing import TYPE_CHECKING, Any

from yaml import YAMLError
from yaml.composer import Composer, ComposerError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bot.manifests import scalars
from bot.manifests.plain import Marks, YamlProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGEST_DOCUMENT = 16 << 20
# Where an anchor is named twice, which libyaml refuses, another parser reads that is a hundred times slower.
LARGEST_AGAIN = 64 << 10
MOST_NODES = 3_000_000
MOST_EXPANDED = 200_000
DEEPEST = 100


class _Refused(Exception):
    """A document that parses and that Kubernetes refuses to decode."""

    def __init__(self, node: Node, reason: str) -> None:
        super().__init__(reason)
        self.line = node.start_mark.line + 1
        self.reason = reason


# --- Composing. A node's tag: None for a string or a collection, a 1-tuple with what a plain scalar means, else as written. ---

_MERGE = (scalars.MERGE,)
_WORDS: dict[str, tuple[object]] = {word: (meant,) for word, meant in scalars.WORDS.items()} | {scalars.MERGE: _MERGE}
_NUMERIC = frozenset(scalars.NUMERIC)


def _tag(_parser: Any, kind: type[Node], value: str, implicit: Any) -> tuple[object] | None:
    if kind is ScalarNode and implicit[0]:
        tag = _WORDS.get(value)
        if tag is not None:
            return tag
        if value[0] in _NUMERIC:
            meant = scalars.resolve(value)
            if type(meant) is not str:
                return (meant,)
    return None


# PyYAML's resolvers by path, for which no manifest has a use: C functions of two arguments and of none, without effect.
_descend, _ascend = is_, tuple


def _pure() -> Any:
    from yaml.events import AliasEvent
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class Pure(Reader, Scanner, Parser, Composer):
        """PyYAML's own parser, where libyaml is not there."""

        resolve = _tag
        descend_resolver = _descend
        ascend_resolver = _ascend

        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)
            Composer.__init__(self)

        def compose_node(self, parent: Any, index: Any) -> Any:
            # An anchor may be named again, and counts from there on (YAML 1.2.2, 7.1).
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            if not isinstance(event, AliasEvent):
                self.anchors.pop(getattr(event, "anchor", None), None)
            return super().compose_node(parent, index)

    return Pure


try:
    from yaml._yaml import CParser
except ImportError:
    _Parser = _pure()
else:

    class _Parser(CParser):  # type: ignore[no-redef]
        """libyaml without PyYAML's resolver, which costs twice what the parser does."""

        resolve = _tag
        descend_resolver = _descend
        ascend_resolver = _ascend


_DASHES = re.compile(r"(?:[-?][ \t]+){50}")


def _compose(text: str) -> Node | None:
    """The root node. Raises YAMLError, or _Refused."""
    many = text.count("[") + text.count("{") > DEEPEST
    if (many or (text.count("- ") + text.count("? ") > DEEPEST and _DASHES.search(text))) and _depth(text) > DEEPEST:
        raise YAMLError(f"nested more than {DEEPEST} levels deep")
    root: Node | None
    try:
        root = _Parser(text).get_single_node()
    except ComposerError as error:
        if "duplicate anchor" not in str(error) or len(text) > LARGEST_AGAIN:
            raise
        root = _pure()(text).get_single_node()
    return root


def _depth(text: str) -> int:
    """How deep collections nest. libyaml before 0.2.6 does not bound it, and composing recurses on the C stack."""
    from yaml.events import CollectionEndEvent, CollectionStartEvent

    parser = _Parser(text)
    depth = deepest = 0
    while parser.check_event() and deepest <= DEEPEST:
        event = parser.get_event()
        if isinstance(event, CollectionStartEvent):
            depth += 1
            deepest = max(deepest, depth)
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
    return deepest


# --- Values ---


def parse(text: str) -> tuple[Any, YamlProblem | None]:
    """The value of a document, or None and what is wrong with it. Never raises."""
    if len(text) > LARGEST_DOCUMENT:
        return None, YamlProblem(1, f"the document is larger than {LARGEST_DOCUMENT >> 20} MiB")
    if _starts_as_json(text):
        value = _json(text)
        if value is not None:
            return value, None
    if len(text) > MOST_NODES and sum(map(text.count, "\n,:[{-")) > MOST_NODES:
        return None, YamlProblem(1, f"the document has more than {MOST_NODES:,} parts")
    try:
        root = _compose(text)
        if root is None:
            return None, None
        if "*" in text and "&" in text:
            _measure(root, {}, 0)
        return _value(root, 0), None
    except _Refused as refused:
        return None, YamlProblem(refused.line, refused.reason)
    except YAMLError as error:
        return None, _problem(error)
    except UnicodeEncodeError as error:
        return None, YamlProblem(text.count("\n", 0, error.start) + 1, "not UTF-8")
    except RecursionError:
        return None, YamlProblem(1, f"nested more than {DEEPEST} levels deep")


def _problem(error: YAMLError) -> YamlProblem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error) or "not YAML"
    return YamlProblem(mark.line + 1 if mark is not None else 1, f"not YAML: {reason}")


def _value(node: Any, depth: int) -> Any:
    kind = type(node)
    if kind is ScalarNode:
        tag = node.tag
        return node.value if tag is None else _tagged(node) if type(tag) is str else tag[0]
    if depth >= DEEPEST:
        raise _Refused(node, f"nested more than {DEEPEST} levels deep")
    depth += 1
    if kind is SequenceNode:
        return [
            item.value if type(item) is ScalarNode and item.tag is None else _value(item, depth) for item in node.value
        ]
    out: dict[str, Any] = {}
    pairs = node.value
    for key_node, item in pairs:
        if key_node.tag is None and type(key_node) is ScalarNode:
            key = intern(key_node.value)
        elif key_node.tag is _MERGE:
            return _merged(node, depth)
        else:
            key = _key(key_node)
        out[key] = item.value if type(item) is ScalarNode and item.tag is None else _value(item, depth)
    if len(out) != len(pairs):
        _name_duplicate(pairs)
    return out


def _key(node: Node) -> str:
    """A key as the JSON that Kubernetes makes of YAML has it."""
    if not isinstance(node, ScalarNode):
        raise _Refused(node, "a mapping or a list as a key")
    value = node.value if node.tag is None else _value(node, 0)
    if isinstance(value, str):
        return intern(value)
    if value is None:
        raise _Refused(node, "null as a key")
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "d") if isinstance(value, int) else format(value, "g")


def _name_duplicate(pairs: list[tuple[Node, Node]]) -> None:
    seen: dict[str, int] = {}
    for node, _ in pairs:
        key = _key(node)
        if key in seen:
            shown = key if len(key) <= 60 else key[:60] + "…"
            raise _Refused(node, f'the key "{shown}" is set twice, first at line {seen[key]} of the document')
        seen[key] = node.start_mark.line + 1


def _merged(node: Node, depth: int) -> dict[str, Any]:
    """A mapping with merge keys. As in goyaml.v2, what stands later wins, be it merged or written."""
    out: dict[str, Any] = {}
    written = []
    for key_node, item in node.value:
        if key_node.tag is not _MERGE:
            written.append((key_node, item))
            out[_key(key_node)] = _value(item, depth)
            continue
        sources = item.value[::-1] if isinstance(item, SequenceNode) else [item]
        for source in sources:
            if not isinstance(source, MappingNode):
                raise _Refused(source, "<< merges a mapping or a list of mappings")
            out.update(_value(source, depth))
    _name_duplicate(written)
    return out


def _tagged(node: Node) -> Any:
    """A scalar with an explicit tag; one that nobody defines leaves a string, as in goyaml.v2."""
    name = str(node.tag).removeprefix("tag:yaml.org,2002:")
    text: str = node.value
    if name == "binary":
        return _binary(node)
    if name not in ("bool", "int", "float", "null"):
        return text
    value = scalars.resolve(text)
    fits = {
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, (int, float)) and not isinstance(value, bool),
        "null": value is None,
    }
    if not fits[name]:
        raise _Refused(node, f"a value that is no {name}, with the tag !!{name}")
    return value


def _binary(node: Node) -> str:
    from base64 import b64decode

    try:
        return b64decode("".join(node.value.split()), validate=True).decode("utf-8", "replace")
    except ValueError:
        raise _Refused(node, "!!binary with what is not base64") from None


def _measure(node: Node, sizes: dict[int, int], depth: int) -> int:
    """How many nodes this one stands for with its aliases expanded; bounded, and no alias may contain itself."""
    size = sizes.get(id(node))
    if size is not None:
        if size == 0:
            raise _Refused(node, "an alias contains itself")
        return size
    if depth > DEEPEST:
        raise _Refused(node, f"nested more than {DEEPEST} levels deep")
    sizes[id(node)] = 0
    size = 1
    for child in _children(node):
        size += _measure(child, sizes, depth + 1)
    if size > MOST_EXPANDED:
        raise _Refused(node, f"aliases expand to more than {MOST_EXPANDED:,} values")
    sizes[id(node)] = size
    return size


def _children(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, SequenceNode):
        yield from node.value


# --- JSON ---

_LONE = re.compile(r"\\u[dD][89a-fA-F]")


def _starts_as_json(text: str) -> bool:
    first = text[:1]
    return first == "{" or (first in " \t\n" and text.lstrip()[:1] == "{")


def _json(text: str) -> Any:
    """The value of a JSON object; None where it is none, or has a key twice (whose line reading it as YAML then tells)."""
    import json

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(items)
        if len(out) != len(items):
            raise ValueError
        return out

    def constant(_name: str) -> Any:
        raise ValueError

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
        if _too_deep(value, 0):
            return None
        return _whole(value) if _LONE.search(text) else value
    except (ValueError, RecursionError):
        return None


def _too_deep(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth >= DEEPEST or any(_too_deep(item, depth + 1) for item in value.values())
    if isinstance(value, list):
        return depth >= DEEPEST or any(_too_deep(item, depth + 1) for item in value)
    return False


def _whole(value: Any) -> Any:
    """`value` with half surrogate pairs replaced, as Go does."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


# --- Lines ---

_OTHER_BREAKS = re.compile("[\x85\u2028\u2029]")


def marks(text: str) -> Marks:
    """The lines of a document's value and of its parts; of the document alone where it does not parse. Never raises."""
    lines = text.rstrip("\n").split("\n")
    try:
        root = _compose(text) if len(text) <= LARGEST_DOCUMENT else None
        if root is not None:
            line_of = _line_by_index(text) if _OTHER_BREAKS.search(text) else _line_of
            return _Marking(lines, line_of).of(root, None, 0)
    except (YAMLError, _Refused, UnicodeEncodeError, RecursionError):
        pass
    return Marks(1, len(lines), None)


def _line_of(mark: Any) -> int:
    return int(mark.line) + 1


def _line_by_index(text: str) -> Callable[[Any], int]:
    """YAML 1.1 counts more characters as line breaks than editors do."""
    return lambda mark: text.count("\n", 0, mark.index) + 1


class _Marking:
    """One walk over the nodes of a document; a part that an alias repeats has the lines of its anchor."""

    def __init__(self, lines: list[str], line_of: Callable[[Any], int]) -> None:
        self.lines = lines
        self.line_of = line_of

    def of(self, node: Node, key: Node | None, depth: int) -> Marks:
        first = last = min(self.line_of(node.start_mark), len(self.lines))
        parts: dict[str, Marks] | list[Marks] | None = None
        if depth > DEEPEST:
            pass
        elif isinstance(node, MappingNode):
            parts = {}
            for key_node, item in node.value:
                parts[key_node.value if isinstance(key_node, ScalarNode) else ""] = self.of(item, key_node, depth + 1)
        elif isinstance(node, SequenceNode):
            parts = [self.of(item, None, depth + 1) for item in node.value]
        if node.flow_style if isinstance(node, (MappingNode, SequenceNode)) else True:
            last = self.end(node)
        elif parts:
            last = max(part.last for part in (parts.values() if isinstance(parts, dict) else parts))
        if key is not None:
            first = min(self.line_of(key.start_mark), len(self.lines))
            last = max(last, first)
        return Marks(first, last, parts)

    def end(self, node: Any) -> int:
        """The last line with something of a scalar or a flow collection: a block scalar's mark is after its blank lines."""
        first, last = (min(self.line_of(mark), len(self.lines)) for mark in (node.start_mark, node.end_mark))
        if last > first and node.end_mark.column == 0 and self.line_of(node.end_mark) == last:
            last -= 1
        while last > first and not self.lines[last - 1].strip():
            last -= 1
        return last
