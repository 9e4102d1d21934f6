"""What a chart or an overlay may try against whoever renders it: each is tried, and comes to nothing or to a reason."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bot.render import cage, helm, kustomize, references
from bot.render.cage import Failed, Limits
from bot.render.model import Helm
from tests.conftest import Git
from tests.render.repository import CHART, SHOWN, Ran, files, needs_helm, needs_kustomize, run, write

SECRET = "hunter2-of-the-runner"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", SECRET)


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can wait for."""
    monkeypatch.setattr(cage.run, "__defaults__", (".", Limits(cpu=2, seconds=20, output=100_000), b""))


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and every path that anybody asked it for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()
        thread.join()


def chart(template: str, **more: str) -> dict[str, str]:
    names = {"values": "values.yaml", "schema": "values.schema.json"}
    files = {"chart/Chart.yaml": CHART, "chart/templates/shown.yaml": template}
    return files | {f"chart/{names.get(name, name)}": text for name, text in more.items()}


def render(capsys: pytest.CaptureFixture[str], root: Path, *more: str) -> Ran:
    found = run(capsys, "render", root, *more)
    assert SECRET not in found.out + found.err
    assert str(root.parent) not in found.err.replace(f"{root}/", "")
    assert "/tmp/netreach-" not in found.out + found.err
    return found


# --- the command itself ---


def test_nothing_of_our_environment_is_there(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    out = cage.run(["/usr/bin/env"], str(root)).decode()
    assert SECRET not in out
    names = {line.partition("=")[0] for line in out.splitlines()}
    assert not [name for name in names if name.startswith(("GITHUB_", "AWS_", "INPUT_", "SSH_", "ACTIONS_"))]
    assert f"HOME={tmp_path}/home" in out
    assert "HTTPS_PROXY=http://127.0.0.1:9" in out


def test_the_whole_group_is_killed(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    script = "trap '' TERM HUP INT; (trap '' TERM HUP INT; exec /bin/sleep 30) & echo $! > child; wait"
    with pytest.raises(Failed, match=r"more than 0\.3 seconds"):
        cage.run(["/bin/sh", "-c", script], str(root), limits=Limits(seconds=0.3))
    child = int((root / "child").read_text())
    for _ in range(100):
        try:
            if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
            os.kill(child, 0)
        except OSError:
            return
        time.sleep(0.02)
    pytest.fail("a child outlived its command")


def test_a_child_that_holds_the_output_open_is_not_waited_for(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    start = time.monotonic()
    with pytest.raises(Failed, match="seconds"):
        cage.run(["/bin/sh", "-c", "/bin/sleep 30 & exit 0"], str(root), limits=Limits(seconds=0.3))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("script", "limits", "reason"),
    [
        ("while :; do :; done", Limits(cpu=1, seconds=20), "too much CPU"),
        ("while :; do echo 0123456789012345678901234567890123456789; done", Limits(output=10_000), "more than 10,000"),
        (
            "while :; do echo 0123456789012345678901234567890123456789; done > file",
            Limits(output=10_000),
            "signal|File",
        ),
        ("kill -9 $$", Limits(), "killed"),
        ("echo 'Error: https://me:token@example.org/x failed' >&2; exit 1", Limits(), r"https://example\.org/x failed"),
        ("i=0; while [ $i -lt 3000 ]; do echo noise >&2; i=$((i+1)); done; exit 7", Limits(), "noise"),
        ("exit 7", Limits(), "status 7"),
    ],
)
def test_limits(tmp_path: Path, script: str, limits: Limits, reason: str) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    with pytest.raises(Failed, match=reason):
        cage.run(["/bin/sh", "-c", script], str(root), limits=limits)


def test_what_a_renderer_complains_of_is_scrubbed(tmp_path: Path) -> None:
    place = str(tmp_path)
    said = f"debug\nError: {place}/tree/chart/x.yaml: \x1b[31mbad\x07 {'y' * 500}\n"
    told = cage.scrubbed(said, place)
    assert told.startswith("chart/x.yaml:  [31mbad")
    assert (
        cage.scrubbed("Error: trouble with config: `\npatch: x\n`: it is wrong\n", place)
        == "trouble with config: it is wrong"
    )
    assert len(told) <= cage.LONGEST_REASON
    assert told.isprintable()


@pytest.mark.parametrize(
    "name", ["../out", "a/../../out", "/etc/x", "a//b", ".git/config", "a/.git/hooks/x", "a\0b", "./a"]
)
def test_no_name_leaves_the_copy(name: str) -> None:
    with pytest.raises(Failed), cage.copy({name: b"x"}, {}):
        pass
    with pytest.raises(Failed), cage.copy({}, {"link": name}):
        pass


def test_nothing_is_written_through_a_link() -> None:
    with pytest.raises(Failed), cage.copy({"a/x": b"1", "link": b"2"}, {"link": "a/x"}):
        pass
    with cage.copy({"a/x": b"1"}, {"b/link": "a"}) as root:
        assert Path(root, "b/link/x").read_bytes() == b"1"
        assert os.readlink(os.path.join(root, "b/link")) == "../a"
    assert not os.path.exists(root)


# --- charts ---


@needs_helm
@pytest.mark.parametrize("target", ["/etc/passwd", "/proc/self/environ", "../../../outside.yaml"])
def test_a_link_out_of_the_repository_in_a_chart(git: Git, capsys: pytest.CaptureFixture[str], target: str) -> None:
    (git.root.parent / "outside.yaml").write_text(f"{SHOWN}{SECRET}\n")
    git.write(chart(SHOWN + '{{ .Files.Get "note.txt" | quote }}\n'))
    for name in ("chart/note.txt", "chart/templates/more.yaml"):
        (git.root / name).symlink_to(target)
        git.commit()
        for where in ([git.root], ["--repo", git.root, "--ref", "HEAD"]):
            found = run(capsys, "render", *where)
            assert found.code == 3
            assert f"{name}: a symbolic link that leaves the" in found.err
            assert "root:" not in found.out + found.err
            assert SECRET not in found.out + found.err
        (git.root / name).unlink()


@needs_helm
def test_what_templates_can_ask_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        '.Files.Get "../secret.txt"',
        '.Files.Get "/etc/passwd"',
        '.Files.Get "../../outside.txt"',
        '(.Files.Glob "../*").AsConfig',
        '(lookup "v1" "Secret" "" "").items',
        'getHostByName "localhost"',
    ]
    lines = "".join(f"    a{index}: {{{{ {one} | toString | quote }}}}\n" for index, one in enumerate(asked))
    write(tmp_path, {"outside.txt": SECRET})
    root = write(tmp_path / "r", chart(SHOWN + "x\n" + lines) | {"secret.txt": SECRET})
    found = render(capsys, root)
    assert found.code == 0, found.err
    assert "root:" not in found.out
    assert "127.0.0.1" not in found.out
    assert found.out.count("a5:") == 1


@needs_helm
@pytest.mark.parametrize(
    "template", ['{{ env "GITHUB_TOKEN" }}', '{{ expandenv "$GITHUB_TOKEN" }}', '{{ fail "\\u001b[31m/etc/passwd" }}']
)
def test_a_template_that_fails_has_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str], template: str) -> None:
    found = render(capsys, write(tmp_path / "r", chart(SHOWN + template)))
    assert found.code == 3
    assert "chart/Chart.yaml:1: shop is not rendered with helm: " in found.err
    assert "\x1b" not in found.err
    assert "shown" not in found.out


@needs_helm
def test_a_schema_asks_no_server_and_reads_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], server: tuple[str, list[str]]
) -> None:
    address, asked = server
    for ref in (f"{address}/schema.json", "file:///etc/passwd"):
        root = write(tmp_path / "r", chart(SHOWN + "x", schema=f'{{"$ref": "{ref}"}}', values="a: 1\n"))
        found = render(capsys, root)
        assert (found.code, asked) == (0, [])
        assert "root:" not in found.out + found.err


@needs_helm
@pytest.mark.usefixtures("tight")
def test_a_loop_without_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template = "{{ $l := until 1000 }}" + "{{ range $l }}" * 4 + "{{ end }}" * 4
    found = render(capsys, write(tmp_path / "r", chart(SHOWN + template)))
    assert found.code == 3
    assert "too much CPU" in found.err


@needs_helm
@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize(
    "template", ['{{ repeat 2000000000 "x" }}', '{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}']
)
def test_a_template_that_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str], template: str) -> None:
    found = render(capsys, write(tmp_path / "r", chart(SHOWN + template)))
    assert found.code == 3
    assert "shop is not rendered with helm: " in found.err


@needs_helm
@pytest.mark.usefixtures("tight")
def test_a_chart_that_prints_too_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = render(capsys, write(tmp_path / "r", chart(SHOWN + '{{ repeat 200000 "x" }}')))
    assert found.code == 3
    assert "more than 100,000 bytes" in found.err


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


@needs_helm
@pytest.mark.usefixtures("tight")
def test_aliases_in_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = render(capsys, write(tmp_path / "r", chart(SHOWN + "{{ .Values | toString | len }}", values=BOMB)))
    assert found.code == 3
    assert "shop is not rendered with helm: " in found.err


@needs_helm
def test_a_dependency_that_is_not_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents = chart(SHOWN + "x")
    for repository in (
        "https://charts.example.org",
        "oci://example.org/charts",
        "file://../gone",
        "file://../../../out",
    ):
        more = f"dependencies:\n  - name: redis\n    version: 1.0.0\n    repository: {repository}\n"
        found = render(capsys, write(tmp_path / "r", contents | {"chart/Chart.yaml": CHART + more}))
        assert found.code == 3
        assert "its dependency 'redis' is not in charts/" in found.err
        old = {"chart/Chart.yaml": CHART.replace("v2", "v1"), "chart/requirements.yaml": more}
        found = render(capsys, write(tmp_path / "r", contents | old))
        (tmp_path / "r" / "chart" / "requirements.yaml").unlink()
        assert found.code == 3
        assert (
            "its dependency 'redis' is not in charts/: run helm dependency build, and commit what it writes"
            in found.err
        )


def test_helm_is_never_told_to_use_a_cluster_or_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def told(command: list[str], *_: object, **__: object) -> bytes:
        seen.append(command)
        return b""

    monkeypatch.setattr(cage, "run", told)
    side = files({"chart/Chart.yaml": CHART})
    options = Helm("shop", parameters=(("a.b", "1", False), ("c", "1", True)), api_versions=("x/v1",))
    helm.template(side, helm.inputs(side, "chart", options), "chart", options, "ns", ["/bin/helm"])
    (command,) = seen
    joined = " ".join(command)
    assert "--kube-version 1." in joined
    assert "--skip-schema-validation" in command
    assert "--set a.b=1 --set-string c=1" in joined
    for word in ("--dry-run", "--enable-dns", "--dependency-update", "--validate", "--post-renderer", "--is-upgrade"):
        assert word not in joined


# --- kustomizations ---


@needs_kustomize
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("resources: [../../outside.yaml]", "outside of the repository"),
        ("resources: [../../outside]", "outside of the repository"),
        ("resources: [/etc/passwd]", "outside of the repository"),
        ("resources: [a/../../../tmp]", "outside of the repository"),
        ("resources: [link]", "link: a symbolic link that leaves the"),
        ("resources: [link/base]", "is not rendered with kustomize: "),
        ("components: [link]", "link: a symbolic link that leaves the"),
        ("Resources: [../../outside]", "its field Resources is not spelled as Kustomize documents it"),
        ("re\u017fources: [../../outside]", "is not spelled as Kustomize documents it"),
        ("!!binary cmVzb3VyY2Vz: [../../outside]", "its field resources is not spelled as Kustomize documents it"),
        ("resources: [!!binary Li4vLi4vb3V0c2lkZQ==]", "by a binary value"),
        ("patches: [{Path: /etc/passwd}]", "its field Path is not spelled"),
        ("configMapGenerator: [{name: x, FILES: [/etc/passwd]}]", "its field FILES is not spelled"),
        ("patches: [{path: /etc/passwd}]", "outside of the repository"),
        ("patches: [{path: passwd.yaml}]", "passwd.yaml: a symbolic link that leaves the"),
        ("configMapGenerator: [{name: x, files: [/proc/self/environ]}]", "outside of the repository"),
        ("configMapGenerator: [{name: x, files: [k=passwd.yaml]}]", "passwd.yaml: a symbolic link that leaves the"),
        ("secretGenerator: [{name: x, envs: [../../outside.env]}]", "outside of the repository"),
        ("replacements: [{path: ../../x.yaml}]", "outside of the repository"),
        ("openapi: {path: /etc/passwd}", "outside of the repository"),
        ("resources: [gone]", "it refers to o/gone, which is not there"),
        ("resources: [empty]", "it refers to o/empty, which has no kustomization"),
        ("patches: [{path: gone.yaml}]", "it refers to o/gone.yaml, which is not there"),
        ("resources: ['https://github.com/o/r//base?ref=v1']", "is remote, and nothing is fetched"),
        ("resources: ['git@github.com:o/r.git']", "is remote, and nothing is fetched"),
        ("resources: ['ssh://git@example.org/o/r']", "is remote, and nothing is fetched"),
        ("resources: ['github.com/o/r?ref=main']", "is remote, and nothing is fetched"),
        ("resources: ['HTTP://127.0.0.1:9/x.yaml']", "is remote, and nothing is fetched"),
        ("bases: ['file:///etc']", "is remote, and nothing is fetched"),
        ("components: ['https://me:hunter2-of-the-runner@example.org/x']", "is remote, and nothing is fetched"),
        ("helmCharts: [{name: redis, repo: 'https://example.org', version: 1.0.0}]", "--enable-helm"),
        ("generators: [plugin.yaml]", "the plugin or function Exec, and none is run"),
        ("transformers: [plugin.yaml]", "the plugin or function Exec, and none is run"),
        ('validators: ["apiVersion: x/v1\\nkind: Evil\\nmetadata: {name: x}\\n"]', "function Evil, and none is run"),
        ("resources: [.]", "is not rendered with kustomize: "),
    ],
)
def test_what_an_overlay_can_refer_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    write(tmp_path, {"outside.yaml": SHOWN + SECRET, "outside.env": f"A={SECRET}", "outside/kustomization.yaml": "{}"})
    plugin = (
        "apiVersion: x.example.org/v1\nkind: Exec\nmetadata:\n  name: x\n  annotations:\n"
        "    config.kubernetes.io/function: |\n      exec: {path: ./run.sh}\n"
    )
    root = write(tmp_path / "r", {"o/kustomization.yaml": text, "o/plugin.yaml": plugin, "o/empty/x.txt": "x"})
    (root / "o/link").symlink_to("../../outside")
    (root / "o/passwd.yaml").symlink_to("/etc/passwd")
    found = render(capsys, root)
    assert found.code == 3
    assert "is not rendered with kustomize: " in found.err
    assert reason in found.err
    assert "root:" not in found.out + found.err


@needs_kustomize
def test_variables_of_the_environment_are_not_taken_up() -> None:
    text = "configMapGenerator: [{name: x, envs: [x.env]}]\n"
    side = files({"kustomization.yaml": text, "x.env": "GITHUB_TOKEN\nPLAIN=1\n"})
    out, _ = kustomize.build(side, references.inputs(side, "."), ".")
    assert "PLAIN" in out
    assert SECRET not in out


@needs_kustomize
def test_aliases_in_a_resource(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cage.run, "__defaults__", (".", Limits(1 << 30, 5, 20), b""))
    bomb = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n" + BOMB
    found = render(capsys, write(tmp_path / "r", {"kustomization.yaml": "resources: [x.yaml]", "x.yaml": bomb}))
    assert found.code == 3
    assert "is not rendered with kustomize: " in found.err


def test_aliases_in_a_kustomization(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = render(capsys, write(tmp_path / "r", {"kustomization.yaml": BOMB}))
    assert found.code == 3
    assert "it is no valid YAML" in found.err


@needs_kustomize
def test_a_base_through_a_link_within_the_repository(git: Git, capsys: pytest.CaptureFixture[str]) -> None:
    git.write({"base/kustomization.yaml": "resources: [x.yaml]", "base/x.yaml": SHOWN + "here"})
    git.write({"o/kustomization.yaml": "resources: [link]"})
    (git.root / "o/link").symlink_to("../base")
    git.commit()
    found = run(capsys, "render", "--repo", git.root, "--ref", "HEAD", "--env", "o")
    assert found.code == 0, found.err
    assert "text: here" in found.out
