"""Two refs of real repositories in, both sides out: which trees are compared, and what is said when that cannot be."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bot.errors import GitError, UsageError
from bot.sources import Unread
from bot.sources.git import compare, read_ref
from bot.sources.select import Limits
from tests.conftest import Git


def forked(git: Git) -> tuple[str, str, str]:
    """main gains b.yaml after the branch `feature`, which adds c.yaml, was cut from it."""
    root = git.commit({"k8s/a.yaml": "a: 1\n", "README.md": "x"})
    git.run("checkout", "-q", "-b", "feature")
    feature = git.commit({"k8s/c.yaml": "c: 1\n"})
    git.run("checkout", "-q", "main")
    main = git.commit({"k8s/b.yaml": "b: 1\n"})
    return root, main, feature


def test_merge_compares_the_tip_of_the_base_with_the_merged_tree(git: Git) -> None:
    _, main, feature = forked(git)
    found = compare(str(git.root), "main", "feature")
    assert list(found.base.contents) == ["k8s/a.yaml", "k8s/b.yaml"]
    assert list(found.head.contents) == ["k8s/a.yaml", "k8s/b.yaml", "k8s/c.yaml"]
    assert (found.mode, found.notes, found.behind, found.merge_base) == ("merge", (), 1, None)
    assert (found.base_sha, found.head_sha, found.base.sha) == (main, feature, main)
    assert (found.base.label, found.head.label) == ("main", "feature merged into main")
    assert found.head.sha == git.run("merge-tree", "--write-tree", "main", "feature")


def test_branch_compares_where_they_parted_with_the_head(git: Git) -> None:
    root, main, _ = forked(git)
    found = compare(str(git.root), "main", "feature", "branch")
    assert list(found.base.contents) == ["k8s/a.yaml"]
    assert list(found.head.contents) == ["k8s/a.yaml", "k8s/c.yaml"]
    assert (found.mode, found.merge_base, found.base_sha, found.base.sha) == ("branch", root, main, root)
    assert found.base.label == "merge base with main"


def test_exact_compares_the_two_as_they_are(git: Git) -> None:
    forked(git)
    found = compare(str(git.root), "main", "feature", "exact")
    assert list(found.base.contents) == ["k8s/a.yaml", "k8s/b.yaml"]
    assert list(found.head.contents) == ["k8s/a.yaml", "k8s/c.yaml"]
    assert (found.mode, found.behind) == ("exact", 1)


def test_a_head_that_contains_the_base_is_what_the_merge_gives(git: Git) -> None:
    git.commit({"a.yaml": "a: 1\n"})
    git.run("checkout", "-q", "-b", "feature")
    feature = git.commit({"b.yaml": "b: 1\n"})
    found = compare(str(git.root), "main", "feature")
    assert (found.behind, found.head.sha, found.head.label) == (0, feature, "feature")


def conflicting(git: Git) -> tuple[str, str, str]:
    root = git.commit({"a.yaml": "a: 1\n", "b.yaml": "b: 1\n"})
    git.run("checkout", "-q", "-b", "feature")
    feature = git.commit({"a.yaml": "a: 2\n", "c.yaml": "c: 1\n"})
    git.run("checkout", "-q", "main")
    return root, git.commit({"a.yaml": "a: 3\n", "b.yaml": "b: 2\n"}), feature


def test_a_conflict_falls_back_to_where_they_parted_and_says_so(git: Git) -> None:
    root, main, feature = conflicting(git)
    found = compare(str(git.root), "main", "feature")
    assert found.mode == "branch"
    assert found.notes == (
        "feature does not merge into main without conflict (a.yaml): compared with where they parted instead",
    )
    assert (found.base.sha, found.head.sha, found.base_sha, found.merge_base) == (root, feature, main, root)
    assert found.head.contents["a.yaml"] == b"a: 2\n"


def test_a_conflict_is_an_error_where_that_is_asked_for(git: Git) -> None:
    conflicting(git)
    with pytest.raises(
        GitError, match=r"feature does not merge into main without conflict \(a.yaml\): merge or rebase"
    ):
        compare(str(git.root), "main", "feature", strict=True)


def test_equal_contents_are_one_object_on_both_sides(git: Git) -> None:
    git.commit({"a.yaml": "a: 1\n", "same.yaml": "a: 1\n", "b.yaml": "b: 1\n"})
    git.run("checkout", "-q", "-b", "feature")
    git.commit({"b.yaml": "b: 2\n"})
    found = compare(str(git.root), "main", "feature")
    one = found.base.contents["a.yaml"]
    assert found.head.contents["a.yaml"] is one
    assert found.head.contents["same.yaml"] is one
    assert found.base.contents["b.yaml"] is not found.head.contents["b.yaml"]


def test_the_working_tree_is_the_head_by_default(git: Git) -> None:
    git.commit({"a.yaml": "a: 1\n", "gone.yaml": "a: 1\n", "kept.yaml": "a: 1\n", ".gitignore": "ignored.yaml\n"})
    git.write({"a.yaml": "a: 2\n", "gone.yaml": None, "new/n.yml": "n: 1\n", "ignored.yaml": "i: 1\n", "x.txt": "x"})
    git.write({"staged.json": "{}"})
    git.run("add", "staged.json")
    before = git.snapshot()
    found = compare(str(git.root), "main")
    assert found.head.contents == {
        "a.yaml": b"a: 2\n",
        "kept.yaml": b"a: 1\n",
        "new/n.yml": b"n: 1\n",
        "staged.json": b"{}",
    }
    assert (found.head.label, found.head.sha, found.head_sha, found.behind) == ("working tree", None, None, 0)
    assert found.head.contents["kept.yaml"] is found.base.contents["kept.yaml"]
    assert git.snapshot() == before


@pytest.mark.parametrize("mode", ["merge", "branch", "exact"])
def test_the_working_tree_of_a_stale_branch(git: Git, mode: str) -> None:
    root, main, _ = forked(git)
    git.run("checkout", "-q", "feature")
    git.write({"k8s/d.yaml": "d: 1\n", "k8s/a.yaml": "a: 2\n"})
    before = git.snapshot()
    found = compare(str(git.root), "main", None, mode)
    base = {"merge": ["a", "b"], "branch": ["a"], "exact": ["a", "b"]}[mode]
    head = {"merge": ["a", "b", "c", "d"], "branch": ["a", "c", "d"], "exact": ["a", "c", "d"]}[mode]
    assert list(found.base.contents) == [f"k8s/{name}.yaml" for name in base]
    assert list(found.head.contents) == [f"k8s/{name}.yaml" for name in head]
    assert found.head.contents["k8s/a.yaml"] == b"a: 2\n"
    assert (found.base_sha, found.head_sha, found.behind) == (main, None, 1)
    assert found.merge_base == (root if mode == "branch" else None)
    assert git.snapshot() == before


def test_a_working_tree_that_conflicts(git: Git) -> None:
    _, main, _ = conflicting(git)
    git.run("checkout", "-q", "feature")
    found = compare(str(git.root), "main")
    assert found.notes[0].startswith("working tree does not merge into main without conflict (a.yaml)")
    assert (found.mode, found.base_sha, found.head.label) == ("branch", main, "working tree")


def test_the_working_tree_is_found_from_a_folder_within_and_from_a_linked_one(git: Git, tmp_path: Path) -> None:
    git.commit({"a.yaml": "a: 1\n", "sub/deep/b.yaml": "b: 1\n"})
    git.write({"a.yaml": "a: 2\n"})
    assert compare(str(git.root / "sub" / "deep"), "main").head.contents["a.yaml"] == b"a: 2\n"
    git.run("worktree", "add", "-q", "-b", "other", str(tmp_path / "other"))
    (tmp_path / "other" / "c.yaml").write_text("c: 1\n")
    found = compare(str(tmp_path / "other"), "main")
    assert list(found.head.contents) == ["a.yaml", "c.yaml", "sub/deep/b.yaml"]
    assert found.head.contents["a.yaml"] == b"a: 1\n"


def test_a_working_tree_in_the_middle_of_a_merge(git: Git) -> None:
    conflicting(git)
    git.run("checkout", "-q", "feature")
    git.run("merge", "main", check=False)
    found = compare(str(git.root), "feature")
    assert b"<<<<<<<" in found.head.contents["a.yaml"]


def test_a_file_replaced_by_a_folder_and_the_reverse(git: Git) -> None:
    git.commit({"a.yaml": "a: 1\n", "b.yaml/c.yaml": "c: 1\n"})
    git.write({"a.yaml": None, "b.yaml/c.yaml": None})
    (git.root / "b.yaml").rmdir()
    git.write({"a.yaml/d.yaml": "d: 1\n", "b.yaml": "b: 1\n"})
    assert list(compare(str(git.root), "main").head.contents) == ["a.yaml/d.yaml", "b.yaml"]


def test_a_change_within_the_same_tick_of_the_clock_is_seen(git: Git) -> None:
    git.run("config", "core.trustctime", "false")
    git.commit({"a.yaml": "a: 1\n"})
    moment = (1_700_000_000_000_000_000, 1_700_000_000_000_000_000)
    os.utime(git.root / "a.yaml", ns=moment)
    git.run("update-index", "--refresh")
    git.write({"a.yaml": "a: 2\n"})
    for name in ("a.yaml", ".git/index"):
        os.utime(git.root / name, ns=moment)
    assert compare(str(git.root), "main").head.contents == {"a.yaml": b"a: 2\n"}


def test_a_large_file_of_the_working_tree_is_unread_and_its_old_content_not_taken_for_it(git: Git) -> None:
    git.commit({"a.yaml": "a: 1\n", "b.yaml": "b: 1\n"})
    git.write({"a.yaml": "a: 1\n" + "# \n" * 100})
    found = compare(str(git.root), "main", limits=Limits(file_bytes=100))
    assert list(found.head.contents) == ["b.yaml"]
    assert found.head.skipped == [Unread("a.yaml", None, "this file is larger than 100 bytes", "paths.exclude", None)]
    assert found.base.skipped == []


def test_no_filter_or_hook_of_the_repository_runs(git: Git, tmp_path: Path) -> None:
    git.commit({"a.yaml": "a: 1\n", ".gitattributes": "*.yaml filter=lfs diff=spy\n"})
    spy = f"touch {tmp_path}/ran; cat"
    for setting in ("filter.lfs.clean", "filter.lfs.smudge", "diff.spy.textconv", "diff.external", "core.fsmonitor"):
        git.run("config", setting, spy)
    hook = git.root / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{spy}\n")
    hook.chmod(0o755)
    git.write({"a.yaml": "a: 2\n"})
    assert compare(str(git.root), "main").head.contents["a.yaml"] == b"a: 2\n"
    assert not (tmp_path / "ran").exists()


def test_the_default_base(git: Git, tmp_path: Path) -> None:
    git.commit({"a.yaml": "a: 1\n"})
    git.run("branch", "-m", "trunk")
    git.run("checkout", "-q", "-b", "work")
    with pytest.raises(GitError, match="neither main nor master; name the base"):
        compare(str(git.root))
    git.run("branch", "master", "trunk")
    assert compare(str(git.root)).base.label == "master"
    git.run("branch", "main", "trunk")
    assert compare(str(git.root)).base.label == "main"
    git.run("checkout", "-q", "trunk")
    subprocess.run(["git", "clone", "-q", str(git.root), str(tmp_path / "clone")], check=True)
    assert compare(str(tmp_path / "clone")).base.label == "origin/trunk"


def test_a_branch_that_only_origin_has(git: Git, tmp_path: Path) -> None:
    forked(git)
    subprocess.run(["git", "clone", "-q", str(git.root), str(tmp_path / "clone")], check=True)
    found = compare(str(tmp_path / "clone"), "main", "feature")
    assert found.head.label == "origin/feature merged into main"
    assert len(found.head.contents) == 3


def test_read_ref_by_branch_tag_and_commit(git: Git) -> None:
    first = git.commit({"a.yaml": "a: 1\n"})
    git.run("tag", "-a", "v1", "-m", "v1")
    git.commit({"b.json": "{}"})
    assert list(read_ref(str(git.root), "main").contents) == ["a.yaml", "b.json"]
    for ref in ("v1", first, first[:10], "HEAD~1", "main^"):
        found = read_ref(str(git.root), ref)
        assert (found.label, found.sha, list(found.contents)) == (ref, first, ["a.yaml"])


def test_only_yaml_and_json_under_the_globs(git: Git) -> None:
    names = [
        "k8s/a.yaml",
        "k8s/b.yml",
        "k8s/c.json",
        "k8s/d.txt",
        "k8s/x/testdata/e.yaml",
        "other/f.yaml",
        ".netreach.yml",
    ]
    git.commit(dict.fromkeys(names, "a: 1\n"))
    found = read_ref(str(git.root), "main", ["k8s/**"], ["**/testdata/**"])
    assert list(found.contents) == [".netreach.yml", "k8s/a.yaml", "k8s/b.yml", "k8s/c.json"]


def test_links_are_followed_within_the_tree_and_not_out_of_it(git: Git) -> None:
    git.commit({"real/a.yaml": "a: 1\n", "real/text": "t: 1\n"})
    targets = {
        "in.yaml": "real/a.yaml",
        "text.yaml": "real/text",
        "again.yaml": "in.yaml",
        "sub/up.yaml": "../real/./a.yaml",
        "sub/through.yaml": "../folder/a.yaml",
        "folder": "real",
        "linked.yaml": "real",
        "out.yaml": "../../outside.yaml",
        "root.yaml": "/etc/passwd",
        "loop.yaml": "loop.yaml",
        "gone.yaml": "real/nothing.yaml",
    }
    for name, target in targets.items():
        path = git.root / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(target)
    for found in (compare(str(git.root), "main").head, read_ref(str(git.root), git.commit())):
        assert set(found.contents) == {
            "real/a.yaml",
            "in.yaml",
            "text.yaml",
            "again.yaml",
            "sub/up.yaml",
            "sub/through.yaml",
        }
        assert found.contents["sub/through.yaml"] is found.contents["real/a.yaml"]
        assert found.contents["text.yaml"] == b"t: 1\n"
        leaves = "a symbolic link that leaves the repository is not followed"
        assert found.skipped == [
            Unread("gone.yaml", None, "a symbolic link to something that is not in the repository"),
            Unread("loop.yaml", None, leaves),
            Unread("out.yaml", None, leaves),
            Unread("root.yaml", None, leaves),
        ]


def test_a_submodule_is_unread_unless_it_is_excluded(git: Git) -> None:
    commit = git.commit({"a.yaml": "a: 1\n"})
    git.run("update-index", "--add", "--cacheinfo", f"160000,{commit},vendor/other")
    git.run("commit", "-q", "-m", "submodule")
    found = read_ref(str(git.root), "main")
    assert found.skipped == [
        Unread("vendor/other", None, f"this submodule (at {commit[:12]}) is not read", "paths.exclude")
    ]
    assert read_ref(str(git.root), "main", exclude=["vendor"]).skipped == []
    assert read_ref(str(git.root), "main", include=["*.yaml"]).skipped == []
    assert len(read_ref(str(git.root), "main", include=["vendor/**"]).skipped) == 1


def test_what_is_too_much_is_unread(git: Git) -> None:
    git.commit({f"{name}.yaml": f"{name}: 1\n" for name in "abcde"} | {"big.yaml": "x" * 1000})
    at = str(git.root)
    found = read_ref(at, "main", limits=Limits(file_bytes=100))
    assert list(found.contents) == [f"{name}.yaml" for name in "abcde"]
    assert found.skipped == [
        Unread(
            "big.yaml",
            None,
            "this file is larger than 100 bytes",
            "paths.exclude",
            git.run("rev-parse", "main:big.yaml"),
        )
    ]
    found = read_ref(at, "main", limits=Limits(files=2))
    assert list(found.contents) == ["a.yaml", "b.yaml"]
    assert found.skipped == [Unread("big.yaml", None, "this file and 3 more are over the limit", "paths.exclude", None)]
    found = read_ref(at, "main", limits=Limits(total_bytes=8))
    assert list(found.contents) == ["a.yaml", "b.yaml"]
    found = read_ref(at, "main", limits=Limits(listing_bytes=100))
    assert found.skipped[0].file == "."


def test_names_that_git_would_quote(git: Git) -> None:
    names = ["with space.yaml", 'quo"te.yaml', "tab\t.yaml", "ünïcode.yaml", "new\nline.yaml", "-dash.yaml"]
    git.commit(dict.fromkeys(names, "a: 1\n"))
    assert list(read_ref(str(git.root), "main").contents) == sorted(names)
    git.write(dict.fromkeys(names, "a: 2\n"))
    assert set(compare(str(git.root), "main").head.contents.values()) == {b"a: 2\n"}


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system has no such names")
def test_a_name_that_is_not_utf8_is_unread(git: Git) -> None:
    git.commit({"a.yaml": "a: 1\n"})
    with open(os.path.join(os.fsencode(git.root), b"b\xff.yaml"), "wb") as stream:
        stream.write(b"b: 1\n")
    git.commit()
    found = read_ref(str(git.root), "main")
    assert (list(found.contents), found.skipped) == (
        ["a.yaml"],
        [Unread("b\\xff.yaml", None, "the name of this file is not UTF-8", None, found.skipped[0].content)],
    )


def test_a_pointer_of_git_lfs_is_unread(git: Git) -> None:
    git.commit({"a.yaml": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"})
    assert read_ref(str(git.root), "main").skipped[0].reason == "this file is kept in Git LFS and was not fetched"


def test_many_files_are_read_in_batches(git: Git) -> None:
    git.commit({f"{number}.yaml": f"a: {number}\n" * (1 + number % 50) for number in range(700)})
    found = read_ref(str(git.root), "main")
    assert all(found.contents[f"{number}.yaml"].startswith(f"a: {number}\n".encode()) for number in range(700))


def test_a_bare_repository(git: Git, tmp_path: Path) -> None:
    forked(git)
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(git.root), str(bare)], check=True)
    before = sorted(bare.rglob("*"))
    assert len(compare(str(bare), "main", "feature").head.contents) == 3
    assert sorted(bare.rglob("*")) == before
    for folder in (bare, git.root / ".git"):
        with pytest.raises(GitError, match="bare, it has no working tree: say which ref is the head"):
            compare(str(folder), "main")


def test_a_repository_that_may_not_be_written_to(git: Git) -> None:
    forked(git)
    objects = git.root / ".git" / "objects"
    mode = objects.stat().st_mode
    objects.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert len(compare(str(git.root), "main", "feature").head.contents) == 3
    finally:
        objects.chmod(mode)


def test_a_shallow_history_without_the_base_or_the_merge_base(git: Git, tmp_path: Path) -> None:
    root, *_ = forked(git)
    clone = tmp_path / "clone"
    command = ["git", "clone", "-q", "--depth", "1", "--no-single-branch", f"file://{git.root}", str(clone)]
    subprocess.run(command, check=True)
    with pytest.raises(GitError, match=f"{root} is not in this clone, which is shallow: .*fetch-depth: 0"):
        compare(str(clone), root, "main")
    for mode in ("merge", "branch"):
        with pytest.raises(
            GitError, match="merge base of main and origin/feature is not in this clone.*fetch-depth: 0"
        ):
            compare(str(clone), "main", "feature", mode)
    found = compare(str(clone), "main", "feature", "exact")
    assert (len(found.head.contents), found.behind) == (2, None)


def test_a_merge_commit_with_its_parents_alone_is_enough(git: Git, tmp_path: Path) -> None:
    """What actions/checkout leaves of a pull request with fetch-depth: 2."""
    forked(git)
    git.run("merge", "-q", "--no-ff", "-m", "merge", "feature")
    subprocess.run(["git", "clone", "-q", "--depth", "2", f"file://{git.root}", str(tmp_path / "clone")], check=True)
    found = compare(str(tmp_path / "clone"), "HEAD^1", "HEAD")
    assert (len(found.base.contents), len(found.head.contents), found.behind) == (2, 3, 0)


def test_histories_without_a_common_commit(git: Git) -> None:
    git.commit({"a.yaml": "a: 1\n"})
    git.run("checkout", "-q", "--orphan", "other")
    git.commit({"b.yaml": "b: 1\n"})
    for mode in ("merge", "branch"):
        with pytest.raises(GitError, match="main and other have no commit in common: .*--mode exact"):
            compare(str(git.root), "main", "other", mode)
    assert len(compare(str(git.root), "main", "other", "exact").head.contents) == 2


def test_objects_that_a_partial_clone_lacks_are_not_fetched(git: Git, tmp_path: Path) -> None:
    git.commit({"a.yaml": "a: 1\n"})
    git.run("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    command = ["git", "clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{git.root}", str(clone)]
    subprocess.run(command, check=True)
    with pytest.raises(GitError, match="is not in this clone: a partial clone lacks it"):
        read_ref(str(clone), "main")


@pytest.mark.parametrize("ref", ["nothing", "main:a.yaml", "main^{tree}", "0" * 40, "^main", "main..main"])
def test_an_unknown_ref(git: Git, ref: str) -> None:
    git.commit({"a.yaml": "a: 1\n"})
    with pytest.raises(GitError, match="is no branch, tag or commit here: fetch it"):
        compare(str(git.root), ref, "main")
    with pytest.raises(GitError, match="is no branch, tag or commit here: fetch it"):
        read_ref(str(git.root), ref)


@pytest.mark.parametrize("ref", ["--output=x", "-h", "", "a\nmain", "main\0", "x" * 1001, "main\x1b[31m", "\udcff"])
def test_a_hostile_ref_never_reaches_git(git: Git, ref: str) -> None:
    git.commit({"a.yaml": "a: 1\n"})
    with pytest.raises(GitError, match="cannot be a ref") as error:
        compare(str(git.root), ref, "main")
    assert str(error.value).isprintable()


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="is not in a Git repository: say with --repo"):
        compare(str(tmp_path), "main")
    with pytest.raises(GitError, match="is not a folder"):
        compare(str(tmp_path / "nothing"), "main")


def test_a_repository_without_commits(git: Git) -> None:
    with pytest.raises(GitError, match="HEAD has no commit yet"):
        compare(str(git.root), "HEAD")


def test_an_unknown_mode(git: Git) -> None:
    with pytest.raises(UsageError, match="--mode rebase: not one of merge, branch, exact"):
        compare(str(git.root), "main", "main", "rebase")


def test_no_git(git: Git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="git was not found: install git 2.38 or newer"):
        compare(str(git.root), "main")


def test_a_git_that_is_too_old(git: Git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    git.commit({"a.yaml": "a: 1\n"})
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text(
        "#!/bin/sh\n"
        'for word; do case $word in version) echo "git version 2.30.2"; exit 0;; cat-file) exit 129;; esac; done\n'
        f'PATH="{os.environ["PATH"]}" exec git "$@"\n'
    )
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:/bin:/usr/bin")
    with pytest.raises(GitError, match=r"git version 2\.30\.2 is too old: netreach needs git 2\.38 or newer"):
        compare(str(git.root), "main", "main")


def test_the_environment_cannot_redirect_git(git: Git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forked(git)
    other = Git(tmp_path / "other")
    other.commit({"wrong.yaml": "w: 1\n"})
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.root / ".git" / "index"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    monkeypatch.setenv("GIT_TRACE", "1")
    monkeypatch.setenv("LANGUAGE", "de")
    assert len(compare(str(git.root), "main", "feature").head.contents) == 3
    assert len(compare(str(git.root), "main").head.contents) == 2


def test_nothing_is_left_in_the_temporary_folder(git: Git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forked(git)
    scratch = tmp_path / 'a "b: \\c'
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    compare(str(git.root), "main", "feature")
    compare(str(git.root), "main")
    with pytest.raises(GitError):
        compare(str(git.root), "nothing")
    assert list(scratch.iterdir()) == []


def test_a_repository_whose_path_needs_quoting(tmp_path: Path) -> None:
    git = Git(tmp_path / 'a "b":\\c ü')
    forked(git)
    assert len(compare(str(git.root), "main", "feature").head.contents) == 3


def test_a_comparison_starts_few_processes(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    forked(git)
    git.run("checkout", "-q", "-b", "rebased", "main")
    git.commit({"e.yaml": "e: 1\n"})
    started: list[str] = []
    original = subprocess.Popen.__init__

    def counted(self, arguments, *rest, **options) -> None:
        started.append(" ".join(arguments))
        original(self, arguments, *rest, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", counted)
    for head, most in (("rebased", 5), ("feature", 6)):
        started.clear()
        compare(str(git.root), "main", head)
        assert len(started) <= most, started
