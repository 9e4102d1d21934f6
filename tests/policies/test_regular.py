"""Patterns: Go decides what is one (its answers are recorded here), google-re2 what matches, and both what inclusion may say."""

from __future__ import annotations

import itertools
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.policies import regular
from bot.policies.re2 import PatternError, parse
from bot.policies.regular import Included, Unknown, Witness, included, matches
from tests.policies import random_rules

re2: Any = pytest.importorskip("re2")

REFUSED_BY_GO = [
    ("/(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
    ("/(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
    ("/(?<=a)", "invalid named capture: `(?<=a)`"),
    ("/(?<!a)", "invalid named capture: `(?<!a)`"),
    (r"(a)\1", r"invalid escape sequence: `\1`"),
    ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
    ("(?>a)", "invalid or unsupported Perl syntax: `(?>`"),
    ("(?#c)", "invalid or unsupported Perl syntax: `(?#`"),
    ("a++", "invalid nested repetition operator: `++`"),
    ("a**", "invalid nested repetition operator: `**`"),
    ("(a|a)*{1000}", "invalid nested repetition operator: `*{1000}`"),
    ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
    ("a{1001}", "invalid repeat count: `{1001}`"),
    ("a{3,2}", "invalid repeat count: `{3,2}`"),
    ("(.{1,1000}){1,1000}", "invalid repeat count: `{1,1000}`"),
    ("((a{10}){10}){11}", "invalid repeat count: `{11}`"),
    ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
    ("*a", "missing argument to repetition operator: `*`"),
    ("(*a)", "missing argument to repetition operator: `*`"),
    ("a|*", "missing argument to repetition operator: `*`"),
    ("(?:a", "missing closing ): `(?:a`"),
    ("a)", "unexpected ): `a)`"),
    ("[a", "missing closing ]: `[a`"),
    ("[]", "missing closing ]: `[]`"),
    ("[^]", "missing closing ]: `[^]`"),
    ("[z-a]", "invalid character class range: `z-a`"),
    (r"[a-\d]", r"invalid escape sequence: `\d`"),
    ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
    (r"[\b]", r"invalid escape sequence: `\b`"),
    (r"\Z", r"invalid escape sequence: `\Z`"),
    (r"\C", r"invalid escape sequence: `\C`"),
    (r"\h", r"invalid escape sequence: `\h`"),
    (r"\8", r"invalid escape sequence: `\8`"),
    (r"\x4", r"invalid escape sequence: `\x4`"),
    (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
    (r"\x{}", r"invalid escape sequence: `\x{}`"),
    ("\\", "trailing backslash at end of expression: ``"),
    (r"\pX", r"invalid character class range: `\pX`"),
    (r"\p{Lu", r"invalid character class range: `\p{Lu`"),
    ("(?P<a", "invalid named capture: `(?P<a`"),
    ("(?P<a-b>c)", "invalid named capture: `(?P<a-b>`"),
    ("(?P<>a)", "invalid named capture: `(?P<>`"),
    ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
    ("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
    ("(?--i)", "invalid or unsupported Perl syntax: `(?--`"),
    ("(?z)", "invalid or unsupported Perl syntax: `(?z`"),
    (r"\é", r"invalid escape sequence: `\é`"),
    ("a{2}??", "invalid nested repetition operator: `{2}??`"),
    ("(?i)*", "missing argument to repetition operator: `*`"),
]
"""Patterns and the error of regexp.Compile of Go 1.26, without its prefix."""


@pytest.mark.parametrize(("pattern", "reason"), REFUSED_BY_GO)
def test_what_go_refuses_is_refused_in_its_words(pattern, reason):
    with pytest.raises(PatternError) as error:
        parse(pattern)
    assert str(error.value) == f"error parsing regexp: {reason}"
    assert pattern[error.value.position :].startswith(reason.split("`")[1])


def test_depth_size_and_length_are_bounded():
    with pytest.raises(PatternError, match="nests too deeply"):
        parse("(" * 1001 + ")" * 1001)
    with pytest.raises(PatternError, match="too large"):
        parse("".join("(" + letter * 999 + "){1000}" for letter in "abcd"))
    with pytest.raises(PatternError, match="UTF-8"):
        parse("a\ud800")
    assert "characters" in parse("a" * 5001).unsupported
    assert "too large" in parse("(a{1000}|b)" * 40).unsupported
    assert "ranges" in parse(r"[^\pL]" * 200).unsupported
    assert matches(parse("a" * 5001), "a") is None


def test_what_go_accepts_and_others_do_not():
    for pattern, text in (
        (r"\Qa.b", "a.b"),
        (r"\Qa*\E*", "a***"),
        ("a{,2}", "a{,2}"),
        ("a{2", "a{2"),
        ("]", "]"),
        ("[]a]+", "]a"),
        ("[--a]", "."),
        (r"[\d-z]+", "1-z"),
        (r"a(?i)b(?-i)c|d", "aBc"),
        ("(?i:k)", "\u212a"),
        ("(?i)[k]s", "Kſ"),
        (r"(?i)\w", "ſ"),
        ("(?i)É", "é"),
        (r"\x{1F600}\x41\101\07", "😀AA\x07"),
        (r"\pL\p{Lu}\p{^Lu}\PL", "éÉé1"),
        (r"\p{Letter}\p{ascii}\p{LC}\p{Any}", "éaB😀"),
        ("(?P<n>a)(?<m>b)", "ab"),
        (r"^a$\z|\A^b", "a"),
        (r"(?m)^a$\n^b$", "a\nb"),
        (r"a(?i)*", "aaa"),
        (r"[[:^alpha:]][[:word:]]", "1_"),
        ("(?U)a+?b*", "aab"),
        ("(?s).", "\n"),
    ):
        assert matches(parse(pattern), text) is True, pattern
    assert matches(parse("."), "\n") is False
    assert matches(parse("a$"), "a\n") is False
    assert parse(r"\p{Greek}").unsupported
    assert parse(r"\p{Greek}") == parse(r"\p{Greek}")


TOKENS = list("ab/.*+?|()^$[]-{},0129 é") + [
    r"\b", r"\B", r"\A", r"\z", r"\d", r"\W", r"\s", r"\n", r"\x41", r"\x{e9}", r"\101", r"\.", r"\q", r"\1", r"\Q", r"\E", "(?:", "(?i)",
    "(?s:", "(?m)", "(?i-s:", "(?U)", "(?=", "(?P<n>", "[^", "[a-z]", "[[:alpha:]]", "[[:^digit:]]", "[[:x:]]",
    "{2}", "{1,3}", "{2,}", "{0}",
    "{3,1}", "*?", r"\pL", r"\p{Lu}", r"\PN", "k", "S", "ſ",
]  # fmt: skip


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(TOKENS), max_size=9),
    st.lists(st.text("abkKsSſé/.0 -_A\n1", max_size=5), min_size=1, max_size=6),
)
def test_parser_and_matcher_agree_with_re2(tokens, texts):
    text = "".join(tokens)
    options = re2.Options()
    options.log_errors = False
    try:
        judge = re2.compile(text, options)
    except re2.error:
        judge = None
    try:
        pattern = parse(text)
    except PatternError:
        assert judge is None or text.count("(?P<n>") > 1
        return
    if judge is None:
        assert text.count("(?P<n>") > 1  # RE2 refuses a name that occurs twice, Go 1.26 does not
        return
    for each in texts:
        assert matches(pattern, each) == bool(judge.fullmatch(each)), (text, each)


def test_inclusion_of_random_patterns_agrees_with_re2():
    choose = random.Random(7)
    letters = ["".join(word) for length in range(5) for word in itertools.product("ab/", repeat=length)]
    unknown = 0
    for _ in range(400):
        one, two = (random_rules.node(choose, ["a", "b", "/", "ab"], 3) for _ in range(2))
        text, other = (
            one.written(),
            choose.choice([two.written(), f"{one.written()}|{two.written()}", f"(?:{one.written()})?b?"]),
        )
        small, large = re2.compile(text), re2.compile(other)
        answer = included([parse(text)], [parse(other)])
        if isinstance(answer, Witness):
            assert small.fullmatch(answer.text)
            assert not large.fullmatch(answer.text)
            shorter = [word for word in letters if len(word) < len(answer.symbols)]
            assert not any(small.fullmatch(word) and not large.fullmatch(word) for word in shorter)
        elif isinstance(answer, Included):
            words = letters + [one.word(choose) for _ in range(20)]
            assert all(large.fullmatch(word) for word in words if small.fullmatch(word))
        else:
            unknown += 1
    assert unknown == 0


@pytest.mark.parametrize(
    ("inside", "outside", "expected"),
    [
        (["a*"], ["a*"], None),
        (["a|b"], ["a", "b"], None),
        (["a*"], ["a+"], ""),
        (["a+"], ["aa*", "b"], None),
        ([".*a.*", ".*b.*"], [".*ab.*", ".*ba.*"], "aab"),
        ([r".*\bab\b.*"], [".*ab.*"], None),
        ([r".*ab.*"], [r".*\bab\b.*"], "aab"),
        ([r"\Ba"], [], None),
        (["a^b|a$b"], [], None),
        (["(?:^a|b$)*"], ["a?b?"], None),
        (["[^/]*"], ["[^/]*[^b]|b?"], "ab"),
        (["(?m)^a$"], ["a"], None),
        (["\\r|\\n|\\x00"], [], None),
        (["[^a]"], ["[^a-z]", "[b-y]"], "z"),
        (["(?i)k"], ["[kK]"], "\u212a"),
    ],
)
def test_inclusion(inside, outside, expected):
    answer = included([parse(text) for text in inside], [parse(text) for text in outside])
    if expected is None:
        assert answer == Included()
    else:
        assert isinstance(answer, Witness)
        assert len(answer.text) == len(expected)
        if len(expected) < 2:
            assert answer.text == expected


def test_witnesses_are_shortest_and_readable():
    answer = included([parse("/api/.*")], [parse("/api/v1.*")])
    assert answer == Witness(tuple(map(ord, "/api/")))
    assert included([parse(r"/\d+/.+")], [parse("x")]) == Witness(tuple(map(ord, "/0/a")))


HOSTILE = [
    ("/((a?){31}){31}", "/((a?){30}){30}"),
    ("/(.{1,31}){1,31}", "/(.{1,30}){1,30}"),
    ("/.*a.{13}", "/.*a.{12}"),
    ("((a*)*b?){900}", "(a?b?){900}"),
    (".*a.*" * 500, ".*" * 1000),
    ("(?:(?:a|b|c){1,90}){8}", "(?:(?:a|b|d){1,90}){8}"),
    (r"(\pL\b.){900}", r"(\w\W?){900}"),
]


@pytest.mark.parametrize(("one", "two"), HOSTILE)
def test_hostile_patterns_end_soon(one, two):
    start = time.process_time()
    answer = included([parse(one)], [parse(two)])
    assert isinstance(answer, (Included, Witness, Unknown))
    assert time.process_time() - start < 8  # at most about 1.5 s where nothing else runs


def test_hostile_texts_end_soon():
    start = time.process_time()
    assert matches(parse("(a*)*b"), "a" * 20_000) is False
    assert matches(parse(".*a.*" * 900), "b" * 5_000) in (False, None)
    assert time.process_time() - start < 8


def test_pieces():
    codes = [parse(text).code for text in ("a.*", ".*b", "c")]
    cut = regular.pieces(codes, parse("[a-c]+").code)
    assert isinstance(cut, list)
    assert {(word.text, inside) for word, inside in cut} == {
        ("a", frozenset([0])),
        ("b", frozenset([1])),
        ("c", frozenset([2])),
        ("ab", frozenset([0, 1])),
    }
    many = [parse(f".*{letter}.{{9}}").code for letter in "abcdefghijklmnop"]
    assert isinstance(regular.pieces(many, parse(".*").code), Unknown)
