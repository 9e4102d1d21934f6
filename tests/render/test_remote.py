"""Bases in other repositories in; what the config's list lets be fetched of them, and what it does not, out."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bot.render import cage, kustomize, references
from bot.render.remote import FOLDER, Remotes, reference
from bot.sources import remote
from bot.sources.remote import Unreachable, address, permitted
from tests.conftest import Git
from tests.render.repository import DEPLOYMENT, files, needs_kustomize, review, run

HOST = "https://git.example.org/"
URL = f"{HOST}org/far"
CONFIG = f"version: 1\nrender: {{remote: [{URL}]}}\n"
POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: PEER}]}]
"""


def web(peer: str = "{matchLabels: {app: client}}") -> dict[str, str]:
    return {
        "base/kustomization.yaml": "resources: [web.yaml, ../common]\n",
        "base/web.yaml": DEPLOYMENT.replace("NAME", "web"),
        "common/kustomization.yaml": "resources: [policy.yaml]\n",
        "common/policy.yaml": POLICY.replace("PEER", peer),
    }


def overlay(ref: str, more: str = "") -> dict[str, str]:
    text = f"namespace: shop\nresources:\n  - {ref}\n  - client.yaml\n{more}"
    return {"o/kustomization.yaml": text, "o/client.yaml": DEPLOYMENT.replace("NAME", "client")}


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """The repository org/far of a server that is a folder here, with the tag v1."""
    (tmp_path / "places" / "org" / "far").mkdir(parents=True)
    found = Git(tmp_path / "places" / "org" / "far")
    found.run("init", "-q", "-b", "main")
    found.commit(web())
    found.run("tag", "v1")
    monkeypatch.setitem(remote.PLACES, HOST, f"file://{tmp_path}/places/")
    return found


# --- the list ---


@pytest.mark.parametrize(
    "text",
    [
        "http://github.com/o/r", "ssh://git@github.com/o/r", "git@github.com:o/r", "file:///etc", "github.com/o/r", "https://",
        "https://me@github.com/o/r", "https://github.com:x/o", "https://github.com:0/o", "https://github.com:99999/o",
        "https://github.com/o/../evil/r", "https://github.com/o/./r", "https://github.com//o", "https://github.com/o%2f..%2fr",
        "https://github.com/o/r?x", "https://github.com/o/r#x", "https://github.com\\@evil.example/o", "https://gïthub.com/o",
        "https://github.com/o r", "https://github.com/o\n/r", "https://[::1]/o", "https://-x.example/o", "https://.example/o", "ext::sh",
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="it"):
        address(text)


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        ("https://github.com/org/repo", True),
        ("HTTPS://GitHub.com:443/org/repo.git/", True),
        ("https://github.com/org/repo/sub", True),
        ("https://github.com/org/repo-evil", False),
        ("https://github.com/org", False),
        ("https://github.com/evil/org/repo", False),
        ("https://github.com.evil.example/org/repo", False),
        ("https://sub.github.com/org/repo", False),
        ("https://github.com:8443/org/repo", False),
        ("oci://github.com/org/repo", False),
    ],
)
def test_what_the_list_permits(wanted: str, answer: bool) -> None:
    assert permitted(address(wanted), [address("https://github.com/org/repo.git"), address("https://other.example")]) is answer


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (f"{URL}//base?ref=v1", (URL, "v1", "base", False)),
        (f"{URL}.git/base?version=v2&ref=v1&timeout=10s", (f"{URL}.git", "v2", "base", False)),
        (f"{URL}/a/b?ref=x", (URL, "x", "a/b", False)),
        (URL, (URL, "", ".", False)),
        ("github.com/o/r/d?ref=x", ("https://github.com/o/r", "x", "d", False)),
        (f"{URL}/v1/x.yaml", (f"{URL}/v1/x.yaml", "", ".", True)),
    ],
)
def test_how_an_address_is_read(written: str, told: tuple[str, str, str, bool]) -> None:
    found = reference(written)
    assert (str(found.address), found.ref, found.folder, found.file) == told


@pytest.mark.parametrize(
    "written",
    [
        "git@git.example.org:org/far//base?ref=v1",
        "ssh://git@git.example.org/org/far",
        "http://git.example.org/org/far//base",
        "git::https://git.example.org/org/far",
        "https://git@git.example.org/org/far//base?ref=v1",
        "https://git.example.org:8443/org/far//base?ref=v1",
        f"{URL}//base/../../../etc?ref=v1",
        f"{URL}/../other//base?ref=v1",
        f"{URL}-evil//base?ref=v1",
        f"{URL}%2f..%2fother//base",
        f"{URL}//base?ref=v1&x=y",
        f"{URL}//base?ref=v1#x",
        "https://git.example.org/_git/org/far",
        "https://git.example.org.evil.example/org/far//base?ref=v1",
    ],
)
def test_what_is_not_fetched_whatever_a_pull_request_writes(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "commit", lambda *_: pytest.fail("fetched"))
    remotes = Remotes((address(URL),))
    told = remotes.problem(written)
    assert told is not None
    assert "is remote, and nothing is fetched" in told[0]
    assert remotes.path(written) is None


@pytest.mark.parametrize("ref", ["--upload-pack=x", "a..b", "a b", "x:y", "+x", "^x", "a//b", "x.lock", "@{u}", "*"])
def test_refs_that_are_none(ref: str, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="is none"):
        remote.commit(str(tmp_path / "x"), address(URL), ref)


def test_git_sees_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "hunter2")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'credential.helper=store'")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/x")
    seen: list[tuple[list[str], dict[str, str]]] = []

    def ran(command: list[str], _: bytes, environment: dict[str, str], __: int) -> tuple[int, bytes]:
        seen.append((command, environment))
        return 1, b"fatal: couldn't find remote ref"

    monkeypatch.setattr("bot.sources.fetch._run", ran)
    with pytest.raises(Unreachable, match="remote ref"):
        remote.commit(str(tmp_path / "x"), address(URL), "v1")
    assert len(seen) == 2
    for command, environment in seen:
        assert {"http.followRedirects=false", "credential.helper=", "--no-recurse-submodules"} <= set(command)
        assert environment["GIT_ALLOW_PROTOCOL"] == "https"
        assert environment["HOME"] == str(tmp_path / "x" / "none")
        assert not {"GITHUB_TOKEN", "GIT_CONFIG_PARAMETERS", "SSH_AUTH_SOCK"} & environment.keys()


# --- reviews ---


@needs_kustomize
def test_a_base_of_another_repository(git: Git, far: Git, capsys: pytest.CaptureFixture[str]) -> None:
    git.commit(overlay(f"{URL}//base?ref=v1") | {".netreach.yml": CONFIG})
    far.commit(web("{}"))
    far.run("tag", "v2")
    git.run("checkout", "-q", "-b", "change")
    git.commit(overlay(f"{URL}//base?ref=v2"))
    found = review(capsys, "main", "change", "--repo", git.root)
    (environment,) = found["environments"]
    assert found["verdict"] == "look"
    causes = {(cause["file"], tuple(cause["lines"])) for row in environment["changes"] for cause in row["causes"]}
    assert causes == {("o/kustomization.yaml", (3, 3))}
    told = run(capsys, "render", "--repo", git.root, "--ref", "change")
    assert (told.code, "is fetched at v2" in told.err, FOLDER in told.out + told.err) == (0, True, False)


@needs_kustomize
def test_only_the_base_side_opens_anything(git: Git, far: Git, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "commit", lambda *_: pytest.fail("fetched"))
    git.commit({"o/kustomization.yaml": "resources: [client.yaml]", "o/client.yaml": DEPLOYMENT.replace("NAME", "client")})
    git.run("checkout", "-q", "-b", "change")
    git.commit(overlay(f"{URL}//base?ref=v1") | {".netreach.yml": CONFIG})
    found = review(capsys, "main", "change", "--repo", git.root)
    assert found["verdict"] == "incomplete"
    (row,) = found["environments"][0]["incomplete"]
    assert "nothing is fetched that render.remote does not name" in row["reason"]
    assert row["setting"] == "render.remote"
    assert run(capsys, "diff", "main", "--repo", git.root).code == 3  # the working tree's config opens nothing, either


@needs_kustomize
def test_what_floats_is_told_and_both_sides_see_the_same(git: Git, far: Git, capsys: pytest.CaptureFixture[str]) -> None:
    git.commit(overlay(f"{URL}//base?ref=v1") | {".netreach.yml": CONFIG})
    git.run("checkout", "-q", "-b", "change")
    git.commit(overlay(f"{URL}//base?ref=main"))
    found = run(capsys, "diff", "main", "change", "--repo", git.root)
    assert f"{URL} is taken" not in found.out
    assert f"note: {URL} is fetched from its branch main, which moves: here as of " in found.out
    assert "no path opened or closed" in found.out


@needs_kustomize
def test_nothing_is_fetched_for_what_does_not_change(
    git: Git, far: Git, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "commit", lambda *_: pytest.fail("fetched"))
    git.commit(overlay(f"{URL}//base?ref=v1") | {".netreach.yml": CONFIG})
    git.run("checkout", "-q", "-b", "change")
    git.commit({"README.md": "x"})
    assert review(capsys, "main", "change", "--repo", git.root)["verdict"] == "pass"


@needs_kustomize
@pytest.mark.parametrize(("name", "limit"), [("MOST", 0), ("SECONDS", -1)])
def test_how_much_is_fetched(
    git: Git, far: Git, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    monkeypatch.setattr(f"bot.render.remote.{name}", limit)
    git.commit(overlay(f"{URL}//base?ref=v1") | {".netreach.yml": CONFIG})
    found = run(capsys, "render", "--repo", git.root, "--ref", "main")
    assert (found.code, "are not fetched for one review" in found.err) == (3, True)


@needs_kustomize
@pytest.mark.parametrize(
    ("base", "told"),
    [
        ("resources: [../../../o]", "which is outside of the repository"),
        ("resources: [/etc/passwd]", "which is outside of the repository"),
        ("resources: [link]", "base/link of another repository: a symbolic link that leaves the"),
        ("resources: ['https://git.example.org/org/other//x?ref=v1']", "nothing is fetched that render.remote does not name"),
        ("resources: [gone.yaml]", "it refers to base/gone.yaml of another repository, which is not there"),
        ("generators: ['https://git.example.org/org/far//base?ref=v1']", "is remote, and none is fetched"),
        ("patches: [{path: 'https://git.example.org/org/far/x.yaml'}]", "and nothing is fetched"),
        ("helmCharts: [{name: x}]", "--enable-helm"),
        ("resources: [../sub]", "sub of another repository: this submodule"),
    ],
)
def test_what_another_repository_can_refer_to(
    git: Git, far: Git, capsys: pytest.CaptureFixture[str], base: str, told: str
) -> None:
    far.write(web() | {"base/kustomization.yaml": base})
    (far.root / "base/link").symlink_to("../../../../etc")
    far.run("add", "-A")
    far.run("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    far.run("commit", "-q", "-m", "x")
    far.run("tag", "v2")
    git.commit(overlay(f"{URL}//base?ref=v2") | {".netreach.yml": CONFIG})
    found = run(capsys, "render", "--repo", git.root, "--ref", "main")
    assert found.code == 3
    assert told in found.err
    assert "o/kustomization.yaml:3: o is not rendered with kustomize: " in found.err
    assert FOLDER not in found.err
    assert "root:" not in found.out + found.err


@needs_kustomize
@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ("//base?ref=v9", "cannot be fetched: couldn't find remote ref v9"),
        ("//gone?ref=v1", "it refers to gone of another repository, which is not there"),
        ("//common/policy.yaml?ref=v1", "is a file, where Kustomize wants a folder"),
    ],
)
def test_what_is_not_there(git: Git, far: Git, capsys: pytest.CaptureFixture[str], ref: str, told: str) -> None:
    git.commit(overlay(URL + ref) | {".netreach.yml": CONFIG})
    found = run(capsys, "render", "--repo", git.root, "--ref", "main")
    assert (found.code, str(far.root) in found.err) == (3, False)
    assert told in found.err


@needs_kustomize
def test_a_repository_cannot_put_its_own_in_the_place_of_another(git: Git, far: Git, capsys: pytest.CaptureFixture[str]) -> None:
    path = Remotes((address(URL),)).path(f"{URL}//base?ref=v1")
    assert path is not None
    fake = DEPLOYMENT.replace("NAME", "fake")
    git.commit(overlay(f"{URL}//base?ref=v1") | {".netreach.yml": CONFIG, f"{path}/web.yaml": fake, f"{path}/../x.yaml": fake})
    found = run(capsys, "render", "--repo", git.root, "--ref", "main", "--env", "o")
    assert (found.code, "name: web" in found.out, "fake" in found.out) == (0, True, False)
    git.commit({"p/kustomization.yaml": f"resources: [../{path}]", f"{path}/kustomization.yaml": "resources: [web.yaml]"})
    found = run(capsys, "render", "--repo", git.root, "--ref", "main", "--env", "p")
    assert "which is outside of the repository" in found.err


@needs_kustomize
def test_the_same_as_with_a_copy_in_the_repository(git: Git, far: Git) -> None:
    far.commit({"base/kustomization.yaml": f"resources: [web.yaml, '{URL}//common?ref=v1']\nnamePrefix: far-\n"})
    far.run("tag", "v2")
    patch = '[{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]'
    more = f"patches: [{{target: {{kind: Deployment}}, patch: '{patch}'}}]\n"
    side = files(overlay(f"{URL}//base?ref=v2", more))
    remotes = Remotes((address(URL),))
    try:
        for _ in range(3):
            used = references.inputs(side, "o", remotes=remotes)
            for written, _ in used.remote:
                remotes.fetch(written)
                found = remotes.read(written, lambda _: True)
                assert found is not None
                side = side._replace(contents={**side.contents, **found.contents})
        out, _ = kustomize.build(side, references.inputs(side, "o", remotes=remotes), "o", remotes=remotes)
    finally:
        remotes.close()
    copied = {f"far/{path}": text for path, text in web().items()}
    copied["far/base/kustomization.yaml"] = "resources: [web.yaml, ../common]\nnamePrefix: far-\n"
    here = {path: text.replace(f"{URL}//base?ref=v2", "../far/base") for path, text in overlay(f"{URL}//base?ref=v2", more).items()}
    command = kustomize.tool()
    assert command is not None
    with cage.copy(files(here | copied).contents, {}) as root:
        plain = cage.run([*command, "."], root, "o").decode()
    assert [text for text, _ in kustomize.untraced(out, "o")] == kustomize.split(plain)


# --- single files ---


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            there = self.path.rpartition("/")[2]
            self.send_response({"elsewhere.yaml": 302, "moved.yaml": 302, "gone.yaml": 404}.get(there, 200))
            if there in ("elsewhere.yaml", "moved.yaml"):
                self.send_header("Location", f"{URL}/v1.0/x.yaml" if there == "moved.yaml" else "https://evil.example/x.yaml")
            self.end_headers()
            bodies = {"x.yaml": DEPLOYMENT.replace("NAME", "web"), "page.yaml": "<!DOCTYPE html>", "large.yaml": "x" * 200_000}
            self.wfile.write(bodies.get(there, "").encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        monkeypatch.setitem(remote.PLACES, HOST, f"http://127.0.0.1:{http.server_port}/")
        monkeypatch.setattr(remote.get, "__defaults__", (100_000, None, ""))
        yield URL
        http.shutdown()
        thread.join()


@needs_kustomize
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("v1.0/x.yaml", "org/far/v1.0/x.yaml is fetched"),
        ("main/x.yaml", "names no version, and may change"),
        ("page.yaml", "it is a page, not a manifest"),
        ("large.yaml", "it is larger than 100,000 bytes"),
        ("gone.yaml", "the server says 404"),
        ("elsewhere.yaml", "it leads to 'https://evil.example/x.yaml', which render.remote does not name"),
    ],
)
@pytest.mark.usefixtures("server")
def test_a_file_by_its_address(git: Git, capsys: pytest.CaptureFixture[str], name: str, told: str) -> None:
    git.commit(overlay(f"{URL}/{name}") | {".netreach.yml": CONFIG})
    found = run(capsys, "render", "--repo", git.root, "--ref", "main")
    assert told in found.err
    assert (found.code, "name: web" in found.out) == ((0, True) if name.endswith("/x.yaml") else (3, False))
    assert re.search("from o/kustomization.yaml:3", found.out) or found.code


def test_git_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of git that lives on is ended with it."""
    script = tmp_path / "git"
    script.write_text("#!/bin/sh\n[ $1 = init ] && exec mkdir -p $5\n/bin/sleep 30 & wait\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(remote, "SECONDS", 0.3)
    with pytest.raises(Unreachable, match=r"took longer than 0\.3 seconds"):
        remote.commit(str(tmp_path / "x"), address(URL), "main")
    assert subprocess.run(["pgrep", "-f", f"{tmp_path}/git"], capture_output=True, check=False).stdout == b""
