"""What the plain reader takes, it reads as the parser (libyaml, through bot.manifests.compose) does: values, their types, lines."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.manifests import compose, plain
from bot.manifests.yaml import decode, split
from tests.corpora import scenarios

ROOT = Path(__file__).parents[2]


def _alike(one: Any, other: Any) -> bool:
    """Equal, with equal types, and keys in equal order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other or (one != one and other != other))


def _taken(text: str) -> bool:
    """Whether the plain reader takes a document, which then is as the parser has it."""
    value, marks = plain.parse(text), plain.marks(text)
    assert (value is None) == (marks is None)
    if value is None:
        return False
    parsed, error = compose.parse(text)
    assert error is None, (text, error)
    assert _alike(value, parsed), (text, value, parsed)
    assert marks == compose.marks(text), text
    return True


def _documents() -> Iterator[str]:
    for folder in ("fixtures", "tests", "deploy", "docs", "bench"):
        for file in sorted((ROOT / folder).rglob("*.y*ml")):
            if "node_modules" not in file.parts:
                yield from (text for text, _ in split(decode(file.read_bytes())))
    for corpus in ("kubernetes", "kubernetes-upstream", "cilium", "calico"):
        for scenario in scenarios(corpus):
            if "manifests" in scenario:
                yield from (text for text, _ in split(scenario["manifests"]))


def test_every_document_at_hand_is_read_alike() -> None:
    documents = list(dict.fromkeys(_documents()))
    taken = sum(map(_taken, documents))
    assert taken > len(documents) / 3 > 1_000


@pytest.mark.parametrize(
    "text",
    [
        "a: b\n  c\n",
        "a: b\n\n  c\n",
        "a: b\n  - c\n",
        "a: b\n# comment\n  c: d\n",
        "a: 'b'\n  c\n",
        "a:\n b: 1\n  c: 2\n",
        "a:\n  b: 1\n c: 2\n",
        "- a\n b\n",
        "- a\n - b\n",
        "a: 1\na: 2\n",
        "a: {b: 1, b: 2}\n",
        "a: {y: 1}\n",
        "y: 1\n",
        "null: 1\n",
        "<<: {a: 1}\n",
        "a: *b\n",
        "a: &b c\n",
        "a: !!str 1\n",
        "a: |\n  b\n",
        "a: >-\n  b\n",
        "a: [b\n",
        "a: [b,c]\n",
        "a: [b: c]\n",
        'a: "b\\n"\n',
        "a: 'it''s'\n",
        "a: b: c\n",
        "a: b:\n",
        "a: - b\n",
        "a: @b\n",
        "a: `b\n",
        "a: %b\n",
        "a:\tb\n",
        "a: b\t\n",
        "\ta: b\n",
        "a: é\n",
        "a: b \x85c\n",
        "? a\n: b\n",
        "a : b\n",
        "-a\n",
        "a\n",
        "-\n  a: b\n",
        "--- a: b\n",
        "a:\n- b\nc\n",
        "a:\n  b: 1\n- c\n",
        '"a": b\n"a": c\n',
        "'': b\n",
        "1: b\n",
        "0x1f: b\n",
        "1.5: b\n",
        '"a\\n": b\n',
        '"a" : b\n',
        "a: {b: {c: 1, c: 2}}\n",
        "a: {b: {1: 2}}\n",
        "a: {b: c]\n",
        "a: [b, c}\n",
        "a: [b, ]\n",
        "a: [{b: c}: d]\n",
        "a: {b: c} d\n",
        "a: [[b]]c\n",
        "a: " + "[" * 30 + "]" * 30 + "\n",
        "a: b\n...\n",
        "- a: 1\n  - b\n",
        "a: 'b' c\n",
        "a: ''b\n",
        " a: b\n",
        "a: [1, , 2]\n",
        "a: {b:c}\n",
        "a: #b\n- c\n d\n",
        "a: " + "x" * 2_000 + "\n",
        "a:\n" + "- b\n" * 600_000,
        "- " * 60 + "a\n",
    ],
)
def test_other_styles_and_mistakes_are_left_to_the_parser(text: str) -> None:
    assert plain.parse(text) is None
    assert plain.marks(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "a: b\nc:\n  d: 1\n",
        "a:\n- b\n- c: 1\n  d: 2\n-   e: 1\n    f:\n    - x\n",
        "a:\n  - - b\n    - c\n  - d\n",
        "a:\nb: ~\nc: ''\nd: \"\"\ne: {}\nf: []\n",
        "a: [x, 'y, z', \"[\", 1, true, 0x10]\nb: { c: d, e: 'f: g' }\n",
        "a: b#c # d\n# e\n\n  # f\nb: -1 # g\nc: --x\nd: http://e:80/?f#g\n",
        "- a\n- - b\n- c: 1\n",
        "a: 010\nb: 1e3\nc: .5\nd: 1_000\ne: yes\nf: y\ng: .inf\nh: 12:30\ni: 1.0\n",
        "a:\n  b:\n    c: 1\n\n  d: 2   \ne:   3\n",
        "a:\n- b:\n  - c\n  d:\n    e: 1\n",
        "a: {b: {c: [d, {e: null}], f: {}}, g: [[], [1, 'x, y']]} # h\n",
        "'y': 1\n\"a b: c\": 2\n01-a: 3\n1a: {'<<': 4, \"1\": 5}\n",
    ],
)
def test_plain_documents_are_taken(text: str) -> None:
    assert _taken(text)


_KEYS = st.sampled_from(["a", "b", "name", "app.kubernetes.io/name", "y", "null", "a b", "é", "<<", "1", "-x", "_z"])
_SCALARS = st.one_of(
    st.sampled_from(
        [
            "web",
            "a: b",
            "a #b",
            "- x",
            "~",
            "",
            "true",
            "no",
            "1",
            "0o7",
            "1.5",
            "x y",
            "'q'",
            '"q"',
            "{",
            "[a]",
            "*",
            "é",
        ]
    ),
    st.integers(-5, 70_000),
    st.booleans(),
    st.none(),
    st.text(alphabet=st.sampled_from(list("ab:#-'\"[]{}, .0\\~&*!|>%@\n\t")), max_size=6),
)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_PIECES = st.sampled_from(
    [
        "",
        " ",
        "  ",
        "- ",
        "a: ",
        "a:",
        "b",
        "#",
        " # c",
        "- - ",
        "\t",
        ":",
        "'",
        '"',
        "{",
        "}",
        "[x]",
        "&a ",
        "|",
        "é",
        "---",
        "...",
    ]
)


@st.composite
def _edited(draw: st.DrawFn) -> str:
    """A document as PyYAML writes it, some of its lines then repeated, dropped, moved in or out, or broken."""
    text = yaml.safe_dump(
        draw(st.dictionaries(_KEYS, _TREES, min_size=1, max_size=4)),
        indent=draw(st.sampled_from([2, 3, 4])),
        default_flow_style=draw(st.sampled_from([False, False, None])),
        width=draw(st.sampled_from([20, 1_000])),
        allow_unicode=True,
        sort_keys=False,
    )
    lines = text.split("\n")
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        edit = draw(st.integers(0, 6))
        piece = draw(_PIECES)
        if edit == 0:
            lines.insert(at, lines[at])
        elif edit == 1:
            del lines[at]
            lines = lines or [""]
        elif edit == 2:
            lines[at] = "  " + lines[at]
        elif edit == 3:
            lines[at] = lines[at][1:]
        elif edit == 4:
            lines[at] += piece
        elif edit == 5:
            where = draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:where] + piece + lines[at][where:]
        else:
            lines.insert(at, piece)
    return "\n".join(lines)


@given(_edited())
@settings(max_examples=400)
def test_edited_documents_are_read_alike_or_left(text: str) -> None:
    for document, _ in split(text):
        _taken(document)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "MOST_LINES", 50)
    monkeypatch.setattr(plain, "MOST_PLANS", 20)
    monkeypatch.setattr(plain, "_memories", [plain._Memory()])
    for number in range(300):
        assert _taken(f"a{number}: {number}\nb:\n" + f"- c: {{d: {number}}}\n" * (number % 30 + 1))
        memory = plain._memories[0]
        assert len(memory.numbers) < 60
        assert len(memory.plans) < 30


def test_what_is_read_shares_nothing_that_changes() -> None:
    text = "a: {b: {c: [i]}}\nd: [e]\nf:\n  g: h\n"
    first: Any = plain.parse(text)
    first["a"]["b"]["c"].append("changed")
    first["a"]["x"] = first["f"]["g"] = "changed"
    first["d"].append("changed")
    assert plain.parse(text) == {"a": {"b": {"c": ["i"]}}, "d": ["e"], "f": {"g": "h"}}


def test_threads_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes other lines first, with little room to remember them."""
    monkeypatch.setattr(plain, "MOST_LINES", 20)
    texts = [f"a{number}:\n- b{number}: {number}\n  c: [{number}]\n" for number in range(40)]

    def read(offset: int) -> bool:
        return all(
            plain.parse(texts[(number + offset) % 40]) == compose.parse(texts[(number + offset) % 40])[0]
            for number in range(200)
        )

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read, range(0, 40, 10)))
