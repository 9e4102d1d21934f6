"""The YAML reader: what Kubernetes reads, where it stands, and that nothing hostile breaks it."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.manifests import compose, kinds, yaml
from bot.manifests.yaml import Document, Located, Reader, decode, split


def value(text: str):
    document = Document(text)
    assert document.error is None, document.error
    return document.value


def problem(text: str):
    document = Document(text)
    assert document.value is None
    assert document.error is not None
    return document.error.line, document.error.reason


def reason(located: Located) -> str:
    assert located.document.error is not None
    return located.document.error.reason


# --- Scalars ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y", True), ("Y", True), ("yes", True), ("On", True), ("TRUE", True),
        ("n", False), ("No", False), ("off", False), ("False", False),
        ("yEs", "yEs"), ("tRUE", "tRUE"), ("'y'", "y"), ('"no"', "no"), ("!!str yes", "yes"), ("! n", False),
        ("", None), ("~", None), ("null", None), ("NULL", None), ("nULL", "nULL"), ("''", ""),
        ("80", 80), ("+80", 80), ("-1", -1), ("0", 0), ("010", 8), ("0o17", 15), ("0x1F", 31), ("0b101", 5), ("-0b1", -1),
        ("8_080", 8080), ("08", 8), ("1e3", 1000), ("1.5", 1.5), (".5", 0.5), ("-1.", -1), ("12e-1", 1.2),
        ("1:20", "1:20"), ("1e999", "1e999"), ("+", "+"), (".", "."), ("1.2.3.4", "1.2.3.4"), ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001-01-01", "2001-01-01"), ("2001-01-01T00:00:00Z", "2001-01-01T00:00:00Z"), ("fe80::1", "fe80::1"),
        ("!!int '7'", 7), ("!!float 7", 7), ("!!bool yes", True), ("!!null ''", None), ("!mine 7", "7"), ("!!binary YQ==", "a"),
        ("18446744073709551616", 18446744073709551616), ("<<", "<<"),
    ],
)  # fmt: skip
def test_plain_scalars_are_read_as_go_yaml_reads_them(text, expected):
    found = value(f"a: {text}")["a"]
    assert (found, type(found)) == (expected, type(expected))


def test_infinities_and_what_is_no_number():
    assert value("a: .inf\nb: -.Inf\n") == {"a": math.inf, "b": -math.inf}
    assert math.isnan(value("a: .NaN")["a"])


@pytest.mark.parametrize("text", ["!!int x", "!!bool 3", "!!null x", "!!float yes", "!!binary '%'"])
def test_a_tag_that_does_not_fit_is_an_error(text):
    assert problem(f"b: 1\na: {text}")[0] == 2


def test_keys_are_the_strings_that_json_has():
    assert value("1: a\ntrue: b\n1.5: c\n'2': d\n") == {"1": "a", "true": "b", "1.5": "c", "2": "d"}
    assert value("n: 1\n") == {"false": 1}
    assert problem("a: 1\n~: 2\n") == (2, "null as a key")
    assert problem("? [a]\n: 1\n") == (1, "a mapping or a list as a key")


def test_null_absent_and_empty_stay_apart():
    assert value("a:\nb: {}\nc: []\nd: ''\n") == {"a": None, "b": {}, "c": [], "d": ""}


# --- Mappings ---


def test_a_key_twice_is_an_error_with_its_line():
    assert problem("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n") == (
        5,
        'the key "c" is set twice, first at line 3 of the document',
    )
    assert problem('{"a": 1, "b": 2,\n "a": 3}')[0] == 2
    assert problem('yes: 1\n"true": 2\n')[0] == 2


def test_merge_keys():
    text = "base: &base {a: 1, b: 2}\nother: &other {b: 3, c: 4}\n"
    assert value(text + "x:\n  <<: *base\n  b: 9\n")["x"] == {"a": 1, "b": 9}
    assert value(text + "x:\n  b: 9\n  <<: *base\n")["x"] == {"a": 1, "b": 2}
    assert value(text + "x:\n  <<: [*base, *other]\n")["x"] == {"a": 1, "b": 2, "c": 4}
    assert value('x: {"<<": {a: 1}}')["x"] == {"<<": {"a": 1}}
    assert problem("x:\n  <<: 3\n") == (2, "<< merges a mapping or a list of mappings")
    assert problem(text + "x:\n  <<: *base\n  q: 1\n  q: 2\n")[0] == 6


def test_an_anchor_may_be_named_again():
    assert value("a: &x 1\nb: *x\nc: &x {d: 2}\ne: *x\n") == {"a": 1, "b": 1, "c": {"d": 2}, "e": {"d": 2}}


def test_anchors_and_aliases():
    assert value("a: &x [1, 2]\nb: *x\n") == {"a": [1, 2], "b": [1, 2]}
    assert problem("a: *x\n")[0] == 1


# --- Bounds ---


def test_an_alias_bomb_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    assert "expand" in problem("\n".join(lines))[1]
    merge = "\n".join(
        ["a0: &a0 {k: 1}"] + [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 10)]
    )
    assert "expand" in problem(merge)[1]


def test_an_alias_in_itself_is_refused():
    assert problem("a: &a\n  b: *a\n")[1] == "an alias contains itself"


@pytest.mark.parametrize(
    "text", ["[" * 5000, "[" * 300 + "]" * 300, "{a: " * 300 + "}" * 300, "- " * 300 + "a", "? " * 300,
             "\n".join(" " * i + "a:" for i in range(300)), '{"a":' * 3000 + "1" + "}" * 3000, '{"a": ' + "[" * 150 + "]" * 150 + "}"]
)  # fmt: skip
def test_depth_is_bounded(text):
    assert Document(text).error is not None


def test_a_hundred_levels_are_too_many_and_ninety_are_not():
    assert value("[" * 90 + "]" * 90)
    assert value("a: [" + ", ".join(["{a: [1]}"] * 300) + "]")


def test_sizes_are_bounded(monkeypatch):
    monkeypatch.setattr(compose, "LARGEST_DOCUMENT", 100)
    assert "larger" in problem("a: " + "x" * 2_000)[1]
    assert Document("a: " + "x" * 2_000 + "\nb: 1\n").lines(("b",)) == (1, 2)
    monkeypatch.undo()
    monkeypatch.setattr(compose, "MOST_NODES", 100)
    assert "parts" in problem("a: [" + "x, " * 200 + "]")[1]
    monkeypatch.setattr(yaml, "LARGEST_FILE", 10)
    [only] = Reader().read("f.yaml", b"a: 1\n" * 10)
    assert reason(only).startswith("the file is larger")
    monkeypatch.undo()
    monkeypatch.setattr(yaml, "MOST_DOCUMENTS", 3)
    found = Reader().read("f.yaml", b"---\na: 1\n" * 5)
    assert [located.line for located in found] == [2, 4, 6, 8]
    assert "documents" in reason(found[-1])


# --- Files ---


def test_documents_and_their_lines():
    text = "# head\n---\na: 1\n--- # said\n\n\nb: 2\n...\n# nothing here\n---\n---\n--- {c: 3}\n"
    assert split(text) == [("a: 1\n", 3), ("b: 2\n", 7), ("--- {c: 3}\n", 12)]
    assert [value(piece) for piece, _ in split(text)] == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_directives_are_no_document():
    assert split("%YAML 1.1\n---\na: 1\n") == [("a: 1\n", 3)]


def test_markers_inside_of_a_line_or_indented_are_none():
    assert split("a: |\n  ---\n  b\nc: x---\n---x: 1\n") == [("a: |\n  ---\n  b\nc: x---\n---x: 1\n", 1)]


def test_one_broken_document_leaves_the_others():
    found = Reader().read("f.yaml", b"a: 1\n---\nb: [\n---\nc: 3\n")
    assert [(located.line, located.document.value) for located in found] == [(1, {"a": 1}), (3, None), (5, {"c": 3})]
    assert reason(found[1]).startswith("not YAML")


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfa: 1\r\nb:\r\n- x\r\n---\r\nc: 2\r\n",
        "a: 1\nb:\n- x\n---\nc: 2\n".encode("utf-16"),
        b"a: 1\rb:\r- x\r---\rc: 2\r",
    ],
)
def test_byte_order_marks_and_line_ends(data):
    found = Reader().read("f.yaml", data)
    assert [(located.document.value, located.line) for located in found] == [({"a": 1, "b": ["x"]}, 1), ({"c": 2}, 5)]


def test_bytes_that_are_no_text():
    found = Reader().read("f.yaml", b"a: 1\n---\nb: \xff\n---\nc: \x00\n")
    assert [located.document.error is None for located in found] == [True, False, False]
    assert reason(found[1]) == "not UTF-8"


def test_tabs():
    assert value("a:\t1\nb: {\t}\n") == {"a": 1, "b": {}}
    assert problem("a:\n\tb: 1\n")[0] == 2
    assert value('{\n\t"a": [\n\t\t1\n\t]\n}\n') == {"a": [1]}


def test_each_distinct_document_is_one():
    reader = Reader()
    one = reader.read("a.yaml", b"a: 1\n---\nb: 1\n")
    two = reader.read("b.yaml", b"---\nb: 1\n---\na: 1")
    assert one[0].document is two[1].document
    assert one[1].document is two[0].document
    assert (two[1].file, two[1].line) == ("b.yaml", 4)


def test_json():
    assert value('{"a": [1, 1.0, null, true, "y"], "b": "\\ud83d\\ude00"}') == {
        "a": [1, 1.0, None, True, "y"],
        "b": "😀",
    }
    assert value('{"a": "\\ud83d"}') == {"a": "\ufffd"}
    assert value('{"a": NaN}') == {"a": "NaN"}
    assert problem('{"a": 1,\n "b": [}')[0] == 2
    assert value("{a: 1, b: [c]}") == {"a": 1, "b": ["c"]}
    assert value('\n  {"a": 1}') == {"a": 1}


# --- Lines ---

POLICY = """\
# a comment
spec:
  podSelector: {}
  egress:
  - to:
    - ipBlock:
        cidr: 10.0.0.0/8
        except: [10.1.0.0/16,
          10.2.0.0/16]

    - podSelector:
        matchLabels:
          app: "x
            y"
  # another
  - ports: []
  text: |
    one
    two

  end:
"""


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ((), (2, 21)),
        (("spec",), (2, 21)),
        (("spec", "podSelector"), (3, 3)),
        (("spec", "egress"), (4, 16)),
        (("spec", "egress", 0), (5, 14)),
        (("spec", "egress", 0, "to", 0), (6, 9)),
        (("spec", "egress", 0, "to", 0, "ipBlock", "except"), (8, 9)),
        (("spec", "egress", 0, "to", 0, "ipBlock", "except", 1), (9, 9)),
        (("spec", "egress", 0, "to", 1), (11, 14)),
        (("spec", "egress", 1), (16, 16)),
        (("spec", "text"), (17, 19)),
        (("spec", "end"), (21, 21)),
        (("spec", "policyTypes", 0), (2, 21)),
        (("spec", "egress", 7), (4, 16)),
        (("spec", 3), (2, 21)),
    ],
)
def test_lines_of_a_path(path, lines):
    assert Document(POLICY).lines(path) == lines


def test_lines_of_what_does_not_parse_are_all():
    assert Document("a: [\nb\nc").lines(("a",)) == (1, 3)


def test_lines_count_line_feeds_alone():
    assert Document('a: "x\x85y\u2028z"\nb: 1\n').lines(("b",)) == (2, 2)


# --- Skipping ---

SECRET = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\ndata:\n  a: Yg==\n"


def test_kinds_that_nobody_reads_are_skipped():
    assert kinds.is_skipped(SECRET)
    assert kinds.is_skipped("kind: Secret\n# x\nstringData:\n- a\n")
    assert not kinds.is_skipped("kind: ConfigMap\nmetadata:\n  name: cilium-config\n")
    assert not kinds.is_skipped("kind: NetworkPolicy\n")


@pytest.mark.parametrize(
    "text",
    [
        'x: "\nkind: Secret\n"\n"kind": NetworkPolicy\n',
        "x: '\nkind: Secret\n'\n? kind\n: NetworkPolicy\n",
        ' {x: "\nkind: Secret\n", kind: NetworkPolicy}\n',
        'x: "\nkind: Secret\n"\nkind : NetworkPolicy\n',
        'x: "\nkind: Secret\n"\nkind:\tNetworkPolicy\n',
        'x: "\nkind: Secret\n"\nkind:\n  NetworkPolicy\n',
        'x: "\nkind: Secret\n"\n!!str kind: NetworkPolicy\n',
        'x: "\nkind: Secret\n"\n&a kind: NetworkPolicy\n',
        'x: "\nkind: Secret\n"\x85kind: NetworkPolicy\n',
        'a: &a {kind: NetworkPolicy}\nx: "\nkind: Secret\n"\n<<: *a\n',
        "--- \nkind: Secret\n",
        "kind: Secret\nkind: NetworkPolicy\n",
        "[\nkind: Secret\n]\n",
    ],
)
def test_nothing_hides_behind_a_skipped_kind(text):
    assert not kinds.is_skipped(text)


@given(st.text(alphabet=st.sampled_from(list("kind: Secret\nNetworkPolicy\"'{}?<&*-x\x85#|>!,")), max_size=60))
@settings(max_examples=300, deadline=None)
def test_what_is_skipped_has_no_other_kind(text):
    for piece in (text, f"kind: Secret\n{text}", f'a: "\nkind: Secret\n{text}'):
        if kinds.is_skipped(piece + "\n"):
            found = Document(piece + "\n").value
            assert found is None or found.get("kind", "Secret").split()[0] == "Secret"


# --- Properties ---

TEXT = st.text(st.characters(codec="utf-8"), max_size=10)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "kind", "spec"]), JSON, max_size=4), st.sampled_from([None, 2]))
@settings(max_examples=200, deadline=None)
def test_json_is_read_as_json(tree, indent):
    [located] = Reader().read("f.json", json.dumps(tree, indent=indent).encode())
    assert located.document.error is None
    assert located.document.value == tree


@given(st.dictionaries(st.sampled_from(["a", "b", "kind", "spec"]), JSON, min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_block_yaml_is_read_as_pyyaml_wrote_it(tree):
    """Quoted throughout, for what is plain PyYAML reads otherwise: y, 0o17, 1e3."""
    import yaml as pyyaml

    text = pyyaml.safe_dump(tree, default_style='"', default_flow_style=False)
    assert _numbers(Document(text).value) == _numbers(tree)


def _numbers(tree):
    """PyYAML writes a float such as 1e+16 that YAML 1.1 and Go read alike; whole floats come back as ints."""
    if isinstance(tree, dict):
        return {key: _numbers(item) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_numbers(item) for item in tree]
    return float(tree) if isinstance(tree, float) else tree


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=300, deadline=None)
def test_nothing_raises(data):
    for located in Reader().read("f.yaml", data):
        document = located.document
        assert document.value is None or document.error is None
        first, last = document.lines()
        assert 1 <= first <= last <= document.text.count("\n") + 1


YAMLISH = st.lists(
    st.sampled_from(
        ["a: ", "b:", "\n", "  ", "- ", "---\n", "...\n", "&x ", "*x", "<<: ", "{", "}", "[", "]", ", ", "'", '"', "|\n", "#",
         "y", "1", "%YAML 1.1\n", "!!int ", "!t ", "\t", "? ", ": ", "\r\n", "\x85", "\u2028", "{{", "\\"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(YAMLISH)
@settings(max_examples=500, deadline=None)
def test_nothing_like_yaml_raises(text):
    for located in Reader().read("f.yaml", text.encode()):
        document = located.document
        assert document.value is None or document.error is None
        first, last = document.lines(("a", 0, "b"))
        assert 1 <= first <= last <= document.text.count("\n") + 1


@given(YAMLISH)
@settings(max_examples=300, deadline=None)
def test_documents_stand_at_their_lines(text):
    lines = decode(text.encode()).split("\n")
    end = 0
    for piece, line in split(decode(text.encode())):
        assert line > end
        body = piece.rstrip("\n").split("\n")
        assert lines[line - 1 : line - 1 + len(body)] == body
        end = line + len(body) - 1


@given(YAMLISH)
@settings(max_examples=300, deadline=None)
def test_the_pure_parser_reads_what_the_c_parser_reads(text):
    documents = [piece for piece, _ in split(decode(text.encode()))]
    fast = [compose.parse(piece) for piece in documents]
    original = compose._Parser
    compose._Parser = compose._pure()
    try:
        for piece, (found, error) in zip(documents, fast, strict=True):
            slow, slow_error = compose.parse(piece)
            if error is None and slow_error is None:
                assert slow == found
    finally:
        compose._Parser = original
