"""Copies of repositories: only what a comparison reads, within their limits, and the comparison in a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.errors import GitError, InternalError, NoManifests, UsageError
from bot.server import compare
from bot.server.repositories import Cache, size
from bot.server.settings import Limits
from bot.sources import mirror
from tests.conftest import Git
from tests.server.conftest import FILES, POD

LIMITS = Limits()


class Served:
    def __init__(self, work: Git, url: str) -> None:
        self.work, self.url = work, url


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A repository, served by `file://`: the same protocol of Git, without the way over HTTP."""
    bare = tmp_path / "bare"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    for setting in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        subprocess.run(["git", "-C", str(bare), "config", setting, "true"], check=True)
    work = Git(tmp_path / "work")
    work.run("remote", "add", "origin", str(bare))
    work.commit({**FILES, "src/big.bin": os.urandom(200_000), "src/main.go": "package main\n", "chart/Chart.yaml": "name: x\n",
                 "chart/templates/x.tpl": "{{ x }}\n", "chart/values.txt": "a\n"})  # fmt: skip
    work.run("push", "-q", "origin", "main")
    yield Served(work, f"file://{bare}")


def branch(served: Served, files: dict[str, str | None], name: str = "topic") -> str:
    served.work.run("checkout", "-q", "-B", name, "main")
    head = served.work.commit(dict(files))
    served.work.run("push", "-q", "-f", "origin", name)
    return head


def bring(served: Served, path: str, head: str, token: str = "ghs_secret") -> mirror.Tips:
    mirror.init(path, served.url)
    source = mirror.Source(served.url, "https://github.com", token)
    base = "refs/netreach/base"
    return mirror.bring(path, source, base, head, [f"+refs/heads/main:{base}", f"+{head}:refs/netreach/head"])


def has(path: str, served: Served, name: str, ref: str = "main") -> bool:
    oid = served.work.run("rev-parse", f"{ref}:{name}")
    listed = subprocess.run(
        ["git", "-C", path, "cat-file", "--batch-all-objects", "--batch-check"], capture_output=True, check=True
    )
    return oid.encode() in listed.stdout


def test_only_what_is_read_is_fetched(served: Served, tmp_path: Path):
    head = branch(served, {"k8s/deny.yaml": None, "src/main.go": "package main // changed\n"})
    path = str(tmp_path / "copy.git")
    tips = bring(served, path, head)
    assert (tips.head, tips.touched) == (head, True)
    assert has(path, served, "k8s/web.yaml")
    assert has(path, served, "chart/templates/x.tpl")
    assert has(path, served, "chart/values.txt")
    assert not has(path, served, "src/big.bin")
    kept = b"".join(file.read_bytes() for file in Path(path).rglob("*") if file.is_file())
    assert b"ghs_secret" not in kept
    found = compare.compare(path, ("main", tips.base), head, LIMITS, False, False)
    assert (found.verdict, found.base.ref, found.base.sha, found.head.sha) == ("look", "main", tips.base, head)


def test_a_merge_has_what_it_looks_at(served: Served, tmp_path: Path):
    """The base moved on, both sides changed one file, and one renamed what the other changed."""
    lines = "".join(f"// {number}\n" for number in range(40))
    served.work.commit({"src/long.go": lines, "src/other.go": lines})
    served.work.run("push", "-q", "origin", "main")
    head = branch(served, {"k8s/deny.yaml": None, "src/long.go": lines + "// end\n", "src/other.go": None, "src/moved.go": lines})
    served.work.run("checkout", "-q", "main")
    served.work.commit({"src/long.go": "// start\n" + lines, "src/other.go": "// first\n" + lines, "k8s/x.yaml": POD})
    served.work.run("push", "-q", "origin", "main")
    path = str(tmp_path / "copy.git")
    tips = bring(served, path, head)
    found = compare.compare(path, ("main", tips.base), head, LIMITS, False, False)
    assert (found.mode, found.behind, found.verdict) == ("merge", 1, "look")


def test_what_touches_nothing(served: Served, tmp_path: Path):
    path = str(tmp_path / "copy.git")
    assert not bring(served, path, branch(served, {"src/main.go": "x\n", "README.md": None})).touched
    for number, name in enumerate(("a.yaml", "k8s/deny.yaml", "chart/values.txt", ".netreach.yml", "x/y.json")):
        assert bring(served, path, branch(served, {name: f"a: {number}\n"}, f"t{number}")).touched, name


def test_a_later_fetch_brings_only_what_is_new(served: Served, tmp_path: Path):
    path = str(tmp_path / "copy.git")
    bring(served, path, branch(served, {"k8s/deny.yaml": None}))
    before = size(path)
    head = branch(served, {"k8s/new.yaml": POD}, "second")
    assert bring(served, path, head).head == head
    assert size(path) - before < 20_000


def test_many_packs_become_one(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bot.server.repositories.MOST_PACKS", 3)
    cache = Cache(str(tmp_path / "cache"), LIMITS)
    for number in range(3):
        head = branch(served, {f"k8s/{number}.yaml": POD, "k8s/deny.yaml": None}, f"t{number}")
        with cache.hold(1, served.url) as path:
            tips = bring(served, path, head)
            packs = sum(file.suffix == ".pack" for file in (Path(path) / "objects" / "pack").iterdir())
            assert compare.compare(path, ("main", tips.base), head, LIMITS, False, False).verdict == "look"
    assert packs <= 5
    assert not has(path, served, "src/big.bin")


def test_a_head_that_is_gone(served: Served, tmp_path: Path):
    with pytest.raises(GitError, match="could not fetch"):
        bring(served, str(tmp_path / "copy.git"), "1" * 40)


def test_a_pack_that_is_too_large(served: Served, tmp_path: Path):
    served.work.commit({f"k8s/{number}.yaml": os.urandom(3000).hex() for number in range(40)})
    served.work.run("push", "-q", "origin", "main")
    head = branch(served, {"k8s/deny.yaml": None})
    path = str(tmp_path / "copy.git")
    mirror.init(path, served.url)
    source = mirror.Source(served.url, most=20_000)
    with pytest.raises(GitError):
        mirror.bring(path, source, head, head, [f"+{head}:refs/netreach/head"])


def test_the_cache_keeps_to_its_limits(tmp_path: Path):
    cache = Cache(str(tmp_path / "cache"), LIMITS._replace(cache=300_000, repository=250_000))
    for number in (1, 2, 3):
        with cache.hold(number, "https://x.invalid/a/b.git") as path:
            (Path(path) / "objects" / "pack" / "a").write_bytes(b"x" * 100_000)
        os.utime(path, (number, number))
    cache.trim()
    assert sorted(entry.name for entry in (tmp_path / "cache").glob("*.git")) == ["2.git", "3.git"]
    with cache.hold(2, "https://x.invalid/a/b.git") as path:
        (Path(path) / "objects" / "pack" / "b").write_bytes(b"x" * 200_000)
        os.utime(path, (1, 1))
        cache.trim()  # what is held stays
        assert os.path.exists(path)
    assert not os.path.exists(path)


def test_locks_of_a_git_that_was_killed_are_removed(tmp_path: Path):
    cache = Cache(str(tmp_path / "cache"), LIMITS)
    with cache.hold(1, "https://x.invalid/a/b.git") as path:
        old, new = Path(path) / "packed-refs.lock", Path(path) / "refs" / "new.lock"
        for lock in (old, new):
            lock.touch()
        os.utime(old, (1, 1))
    with cache.hold(1, "https://x.invalid/a/c.git") as path:
        assert (old.exists(), new.exists()) == (False, True)
        assert "a/c.git" in (Path(path) / "config").read_text(encoding="utf-8")


def test_a_comparison_has_limits_and_no_secrets(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = str(tmp_path / "copy.git")
    head = branch(served, {"k8s/deny.yaml": None})
    tips = bring(served, path, head)
    monkeypatch.setenv("NETREACH_FAIL_ON", "any-opened")
    with pytest.raises(InternalError, match="longer than 0 seconds|said nothing|ended with"):
        compare.compare(path, ("main", tips.base), head, LIMITS._replace(review=0), False, False)
    with pytest.raises(InternalError):
        compare.compare(path, ("main", tips.base), head, LIMITS._replace(memory=6_000_000), False, False)
    assert compare.compare(path, ("main", tips.base), head, LIMITS, False, False).verdict == "look"


def test_errors_keep_their_kind(served: Served, tmp_path: Path):
    path = str(tmp_path / "copy.git")
    head = branch(served, {".netreach.yml": "version: 1\npaths: {include: ['nothing/**']}\n"})
    tips = bring(served, path, head)
    assert not compare.wishes(path, tips.base).configured
    assert compare.wishes(path, head).configured
    with pytest.raises(NoManifests):
        compare.compare(path, ("x", head), head, LIMITS, False, False)
    assert compare.compare(path, ("x", head), head, LIMITS, True, False).verdict == "pass"
    broken = branch(served, {".netreach.yml": "version: 1\nx: 1\n"}, "broken")
    bring(served, path, broken)
    with pytest.raises(UsageError, match=r"\.netreach\.yml:2"):
        compare.compare(path, ("x", broken), broken, LIMITS, False, False)
    assert compare.wishes(path, broken).check.name == "netreach"


def test_rendering_is_for_those_that_are_trusted(served: Served, tmp_path: Path):
    fixture = Path(__file__).resolve().parent.parent.parent / "fixtures" / "three-tier-kustomize"
    sides: list[dict[str, str | None]] = []
    for side in ("base", "head"):
        files = sorted(path for path in (fixture / side).rglob("*") if path.is_file())
        sides.append({f"apps/{path.relative_to(fixture / side)}": path.read_text(encoding="utf-8") for path in files})
    base = branch(served, sides[0], "kustomized")
    served.work.run("checkout", "-q", "-B", "topic", "kustomized")
    head = served.work.commit(sides[1])
    served.work.run("push", "-q", "-f", "origin", "topic")
    path = str(tmp_path / "copy.git")
    mirror.init(path, served.url)
    mirror.bring(path, mirror.Source(served.url), base, head, [f"+{base}:refs/b", f"+{head}:refs/h"])
    whole = compare.compare(path, ("main", base), head, LIMITS, True, True)
    assert any("overlays/" in one.name for one in whole.environments), [one.name for one in whole.environments]
    off = compare.compare(path, ("main", base), head, LIMITS, True, False)
    assert off.asked.render == "off"
    assert any("rendering is off" in note for note in off.notes)
