"""Folders and files on disk in, what is read of them out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.errors import UsageError
from bot.sources import Unread
from bot.sources.folder import read_folder, read_folders
from bot.sources.select import Limits


def write(root: Path, *names: str, text: str = "a: 1\n") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_yaml_and_json_below_the_folder_in_the_order_of_their_paths(tmp_path: Path) -> None:
    write(tmp_path, "b/c.yml", "a.yaml", "b.json", "b/d/e.yaml", "readme.txt", "Makefile", ".hidden/f.yaml")
    found = read_folder(str(tmp_path))
    assert list(found.contents) == [".hidden/f.yaml", "a.yaml", "b.json", "b/c.yml", "b/d/e.yaml"]
    assert (found.label, found.sha, found.skipped) == (str(tmp_path), None, [])


def test_folders_of_tools_are_not_entered(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", ".git/b.yaml", "node_modules/x/c.yaml", "sub/.venv/d.yaml", "sub/.terraform/e.json")
    assert list(read_folder(str(tmp_path)).contents) == ["a.yaml"]


def test_globs(tmp_path: Path) -> None:
    write(tmp_path, "k8s/a.yaml", "k8s/testdata/b.yaml", "c.yaml", ".github/netreach.yml")
    found = read_folder(str(tmp_path), ["k8s"], ["**/testdata/**"])
    assert list(found.contents) == [".github/netreach.yml", "k8s/a.yaml"]


def test_one_file_whatever_its_name(tmp_path: Path) -> None:
    write(tmp_path, "manifests.txt")
    assert read_folder(str(tmp_path / "manifests.txt")).contents == {"manifests.txt": b"a: 1\n"}


def test_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, "real/a.yaml")
    write(tmp_path, "secret.yaml", "root-of-another/x.yaml")
    (root / "in.yaml").symlink_to("real/a.yaml")
    (root / "out.yaml").symlink_to("../secret.yaml")
    (root / "beside.yaml").symlink_to("../root-of-another/x.yaml")
    (root / "gone.yaml").symlink_to("nothing.yaml")
    (root / "loop.yaml").symlink_to("loop.yaml")
    (root / "folder").symlink_to("real")
    (root / "folder.yaml").symlink_to("real")
    (root / "up").symlink_to("..")
    found = read_folder(str(root))
    assert list(found.contents) == ["in.yaml", "real/a.yaml"]
    assert [unread.file for unread in found.skipped] == ["beside.yaml", "gone.yaml", "loop.yaml", "out.yaml"]
    assert found.skipped[3].reason == "a symbolic link that leaves the folder is not followed"
    (tmp_path / "link").symlink_to("root")
    assert list(read_folder(str(tmp_path / "link")).contents) == ["in.yaml", "real/a.yaml"]


def test_a_named_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert read_folder(str(tmp_path)).skipped == [
        Unread("pipe.yaml", None, "this is no regular file", "paths.exclude", None)
    ]
    with pytest.raises(UsageError, match="neither a folder nor a file"):
        read_folder(str(tmp_path / "pipe.yaml"))


def test_limits(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "b.yaml", "c.yaml")
    write(tmp_path, "big.yaml", text="x" * 200)
    write(tmp_path, "just.yaml", text="x" * 100)
    found = read_folder(str(tmp_path), limits=Limits(file_bytes=100))
    assert list(found.contents) == ["a.yaml", "b.yaml", "c.yaml", "just.yaml"]
    assert found.skipped == [Unread("big.yaml", None, "this file is larger than 100 bytes", "paths.exclude", None)]
    for limits in (Limits(files=2), Limits(total_bytes=10)):
        found = read_folder(str(tmp_path), limits=limits)
        assert list(found.contents) == ["a.yaml", "b.yaml"]
        assert found.skipped == [
            Unread("big.yaml", None, "this file and 2 more are over the limit", "paths.exclude", None)
        ]


def test_names_that_are_not_utf8_are_unread(tmp_path: Path) -> None:
    try:
        with open(os.path.join(os.fsencode(tmp_path), b"b\xff.yaml"), "wb"):
            pass
    except OSError:
        pytest.skip("this file system has no such names")
    assert read_folder(str(tmp_path)).skipped == [
        Unread("b\\xff.yaml", None, "the name of this file is not UTF-8", None, None)
    ]


def test_a_pointer_of_git_lfs_is_unread(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", text="version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    assert read_folder(str(tmp_path)).skipped[0].file == "a.yaml"


def test_a_deep_folder_and_one_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "/".join(["d"] * 300) + "/a.yaml"
    write(tmp_path, deep, "closed/b.yaml")
    scan = os.scandir

    def refused(path: str) -> object:
        if path.endswith("/closed"):
            raise PermissionError(13, "Permission denied", "paths.exclude", None)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    found = read_folder(str(tmp_path))
    assert list(found.contents) == [deep]
    assert found.skipped == [
        Unread("closed", None, "this folder cannot be read: Permission denied", "paths.exclude", None)
    ]


@pytest.mark.parametrize("name", ["nothing", "nul\0"])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_folder(str(tmp_path / name))


def test_equal_contents_of_two_folders_are_one_object(tmp_path: Path) -> None:
    write(tmp_path, "base/a.yaml", "head/a.yaml", "head/moved.yaml")
    write(tmp_path, "head/b.yaml", text="b: 1\n")
    base, head = read_folders(str(tmp_path / "base"), str(tmp_path / "head"))
    assert head.contents["a.yaml"] is base.contents["a.yaml"] is head.contents["moved.yaml"]
    assert list(head.contents) == ["a.yaml", "b.yaml", "moved.yaml"]
