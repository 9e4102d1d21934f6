"""Globs and paths in, chosen or not out."""

from __future__ import annotations

import time

import pytest

from bot.errors import UsageError
from bot.sources import Files, Unread
from bot.sources.select import find_config, matcher, narrow


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("k8s/**", ["k8s/a", "k8s/b/c"], ["k8s", "x/k8s/a", "k8sa/b"]),
        ("**", ["a", "a/b"], []),
        ("**/testdata/**", ["testdata/a", "x/testdata/a", "x/y/testdata/b/c"], ["testdata", "x/testdatas/a"]),
        ("*.yaml", ["a.yaml", ".yaml"], ["x/a.yaml", "a.yml"]),
        ("**/*.yaml", ["a.yaml", "x/y/a.yaml"], ["a.yml", "a.yaml/x"]),
        ("k8s", ["k8s", "k8s/a/b"], ["k8s2", "x/k8s"]),
        ("./k8s/", ["k8s/a"], ["a"]),
        ("/k8s/a.yaml", ["k8s/a.yaml"], ["k8s/aXyaml"]),
        ("clusters/*", ["clusters/a"], ["clusters/a/b", "clusters"]),
        ("clusters/*/k8s", ["clusters/a/k8s/x", "clusters/a/k8s"], ["clusters/a/b/k8s"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b", "a/b/c"], ["b", "ab", "a/xb"]),
        ("a/**/b/**/c.yaml", ["a/b/c.yaml", "a/x/b/b/y/c.yaml", "a/b/x/b/c.yaml"], ["a/c.yaml", "a/b/c.yamlx"]),
        ("**/b/**/b/*.yaml", ["b/b/x.yaml", "a/b/c/b/x.yaml", "b/b/b/x.yaml"], ["b/x.yaml", "a/b/x.yaml"]),
        ("?.yaml", ["a.yaml"], ["ab.yaml", "/.yaml", ".yaml"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "/x"]),
        ("[!a]x", ["bx"], ["ax", "/x"]),
        ("[]x]", ["]", "x"], ["y"]),
        ("a[b", ["a[b"], ["ab"]),
        ("*a*b*c", ["abc", "xaybzc", "aabbcc"], ["acb", "a/bc", "abcd"]),
        ("a**b", ["ab", "axb"], ["a/b"]),
        ("a+(b).yaml", ["a+(b).yaml"], ["aab.yaml"]),
    ],
)
def test_globs(glob: str, yes: list[str], no: list[str]) -> None:
    assert [path for path in yes + no if matcher([glob])(path)] == yes


def test_exclude_wins_over_include_and_several_add_up() -> None:
    matches = matcher(["a/**", "b/**"], ["**/x.yaml", "b/c"])
    assert [path for path in ("a/1", "b/1", "c/1", "a/x.yaml", "b/c/1") if matches(path)] == ["a/1", "b/1"]
    assert matcher([], ["a"])("b")
    assert matcher()("anything")


@pytest.mark.parametrize(
    ("glob", "message"),
    [
        ("", "empty"),
        ("/", "empty"),
        ("../x", "leaves the root"),
        ("a/../b", "leaves the root"),
        ("[z-a]", "not understood"),
    ],
)
def test_globs_that_mean_nothing(glob: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        matcher([glob])


def test_no_path_makes_a_glob_slow() -> None:
    started = time.process_time()
    matches = matcher(["**/a*a*a*a*b/**/a*a*a*a*b/**/x*x*x*x*y"])
    assert not matches("/".join(["a" * 60] * 60) + "/" + "x" * 200)
    assert not matches("/".join(["a" * 30 + "b"] * 60) + "/" + "x" * 200)
    assert time.process_time() - started < 5


def test_narrow_keeps_the_settings_and_what_was_not_read() -> None:
    files = Files(
        "main",
        "1",
        {".netreach.yml": b"", "a/b.yaml": b"", "c/d.yaml": b""},
        [Unread("a/x.yaml", None, "r"), Unread("c/x.yaml", None, "r")],
    )
    assert narrow(files) is files
    found = narrow(files, ["a/**"])
    assert list(found.contents) == [".netreach.yml", "a/b.yaml"]
    assert [unread.file for unread in found.skipped] == ["a/x.yaml"]


def test_find_config() -> None:
    assert find_config({"a.yaml": b""}) is None
    assert find_config({".netreach.yml": b"1"}) == (".netreach.yml", b"1")
    assert find_config({".github/netreach.yml": b"2"}) == (".github/netreach.yml", b"2")
    with pytest.raises(UsageError, match="keep one of them"):
        find_config({".netreach.yml": b"1", ".github/netreach.yml": b"2"})
