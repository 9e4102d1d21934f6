"""The command line: arguments, outputs, and one test for each exit code."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import bot
from bot import cli, review
from bot.errors import GitError, InternalError, NoManifests, PublishError
from bot.report import progress
from tests.report import reviews

Calls = list[tuple[Any, ...]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The pipeline replaced by reviews made by hand; what it was called with."""
    seen: Calls = []

    def answer(name: str, value: object) -> None:
        def called(*given: object) -> object:
            seen.append((name, *given))
            return value

        monkeypatch.setattr(review, name, called)

    answer("review_refs", reviews.LOOK)
    answer("review_folders", reviews.BLOCKED)
    answer("listing", reviews.LISTING)
    answer("explain", reviews.EXPLANATION)
    answer("verify", reviews.VERIFICATION)
    return seen


def test_the_version_is_the_package_s() -> None:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(rf'^version = "{re.escape(bot.__version__)}"$', text, re.MULTILINE)


def test_diff_of_two_refs(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["diff", "main", "topic", "--repo", "r", "--mode", "branch", "--format", "json", "--pairs"]) == 0
    name, refs, settings = calls[0]
    assert (name, refs) == ("review_refs", review.Refs("r", "main", "topic", "branch"))
    assert settings.pairs
    assert json.loads(capsys.readouterr().out)["verdict"] == "look"


def test_diff_without_refs(calls: Calls) -> None:
    assert cli.main(["diff"]) == 0
    assert calls[0][1] == review.Refs()
    assert cli.main(["diff", "--base", "a", "--head", "b"]) == 0
    assert calls[1][1] == review.Refs(".", "a", "b")
    assert cli.main(["diff", "a", "--strict"]) == 0
    assert calls[2][1] == review.Refs(".", "a", strict=True)


def test_settings(calls: Calls) -> None:
    arguments = (
        "list k8s --cni calico --pod-cidrs 10.0.0.0/8,fd00::/8 --context c.yaml --include a --include b --exclude x"
    )
    assert cli.main([*arguments.split(), "--config", "n.yml", "--env", "prod", "--allow-empty"]) == 0
    assert calls[0] == (
        "listing",
        review.Place("k8s"),
        review.Settings(
            cni="calico",
            pod_cidrs=("10.0.0.0/8", "fd00::/8"),
            context="c.yaml",
            include=("a", "b"),
            exclude=("x",),
            config="n.yml",
            environment="prod",
            allow_empty=True,
        ),
    )
    assert cli.main(["list", "--ref", "v1", "--repo", "r", "--pod-cidrs", "none"]) == 0
    assert calls[1][1:] == (review.Place("r", "v1"), review.Settings(pod_cidrs=()))


def test_every_cni_that_is_known_can_be_named(
    calls: Calls, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["list", "k8s", "--cni", "aws-vpc-cni"]) == 0
    assert calls[0][2].cni == "aws-vpc-cni"
    assert cli.main(["list", "k8s", "--cni", "antreea"]) == 2
    assert re.search(r"--cni=antreea: not one of .*: did you mean antrea\?", capsys.readouterr().err)
    monkeypatch.setenv("NETREACH_CNI", "kube-ovm")
    assert cli.main(["list", "k8s"]) == 2
    assert re.search(r"NETREACH_CNI=kube-ovm: not one of .*: did you mean kube-ovn\?", capsys.readouterr().err)


def test_explain(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    ends = ["explain", "--from", "a/b", "--to", "c/d", "--port", "80/tcp"]
    assert cli.main([*ends, "k8s"]) == 0
    assert calls[0][1:5] == ("a/b", "c/d", "80/tcp", review.Place("k8s"))
    assert cli.main([*ends, "--base", "x", "--head", "y", "--format", "json"]) == 0
    assert calls[1][4] == review.Refs(".", "x", "y", "merge")
    assert cli.main([*ends, "--dirs", "x", "y"]) == 0
    assert calls[2][4] == review.Folders("x", "y")
    assert "after: allowed" in capsys.readouterr().out
    assert cli.main([*ends, "--dirs", "x", "y", "--base", "z"]) == 2


def test_verify(calls: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "e.yaml"
    file.write_text("expectations:\n- {from: a/b, to: c/d, expect: deny}\n", encoding="utf-8")
    assert cli.main(["verify", str(file), "k8s", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["held"] == 1
    assert calls[0][1][0].source == "a/b"
    assert cli.main(["verify", str(file), "--exit-zero"]) == 0


def test_render(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("\n---\nkind: Namespace\napiVersion: v1\nmetadata: {name: a}\n", encoding="utf-8")
    (tmp_path / "b.json").write_text(
        '{"kind": "List", "apiVersion": "v1", "items": [{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "b"}}]}',
        encoding="utf-8",
    )
    assert cli.main(["render", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("---\n# a.yaml:")
    assert "\nkind: Namespace\n" in shown
    assert '---\n# b.json:1\n{\n  "kind": "Namespace"' in shown


def test_outputs_go_to_files(calls: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"text": "t.txt", "md": "m.md", "json": "j.json", "csv": "c.csv", "dot": "d.dot", "mermaid": "m.mmd"}
    outputs = [part for name, file in names.items() for part in ("-o", f"{name}={tmp_path / file}")]
    assert cli.main(["diff", "main", *outputs]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names.values())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"netreach: wrote markdown to {tmp_path / 'm.md'}\n" in captured.err
    assert (tmp_path / "m.md").read_text(encoding="utf-8").startswith("### ⚠️ netreach: needs a look.")
    assert b"\r" not in (tmp_path / "t.txt").read_bytes()


def test_results_on_stdout_and_talk_on_stderr(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["diff", "main"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("netreach 0.")
    assert captured.err == ""


@pytest.mark.parametrize("name", ["report", "list", "verify", "explain", "expectations"])
def test_schemas_are_published(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema", name]) == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


# --- exit codes, the same in every format ---


def code_of(monkeypatch: pytest.MonkeyPatch, found: object, *more: str) -> int:
    def run(*_: object) -> object:
        if isinstance(found, BaseException):
            raise found
        return found

    monkeypatch.setattr(review, "review_refs", run)
    codes = {
        cli.main(["diff", "main", *more, "--format", name])
        for name in ("text", "markdown", "json", "csv", "dot", "mermaid", "sarif", "github")
    }
    assert len(codes) == 1
    return codes.pop()


def test_0_analysed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(monkeypatch, reviews.PASS) == 0
    assert code_of(monkeypatch, reviews.LOOK) == 0


def test_1_gate_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(monkeypatch, reviews.BLOCKED) == 1
    assert code_of(monkeypatch, reviews.BLOCKED, "--exit-zero") == 0
    assert code_of(monkeypatch, reviews.LOOK, "--exit-code") == 1
    assert code_of(monkeypatch, reviews.PASS, "--exit-code") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["wander"],
        ["diff", "--mode", "sideways"],
        ["diff", "a", "b", "c"],
        ["diff", "a", "--base", "b"],
        ["diff", "a", "--dirs", "x", "y"],
        ["diff", "--format", "pdf"],
        ["diff", "-o", "json"],
        ["diff", "--fail-on", "everything"],
        ["diff", "--pod-cidrs", "10.0.0.0/99"],
        ["diff", "--pod-cidrs", ","],
        ["list", "k8s", "--ref", "main"],
        ["explain", "--from", "a/b"],
        ["verify", "nowhere.yaml"],
        ["schema", "poem"],
        ["diff", "main", "-o", "json=/nowhere/at/all.json"],
    ],
)
def test_2_wrong_use(arguments: list[str], calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err
    assert "Traceback" not in captured.err


def test_3_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(monkeypatch, reviews.INCOMPLETE) == 3
    assert code_of(monkeypatch, reviews.INCOMPLETE, "--exit-zero") == 3
    monkeypatch.setattr(review, "listing", lambda *_: reviews.LISTING._replace(incomplete=reviews.UNREAD))
    assert cli.main(["list"]) == 3


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoManifests("no manifests in ."), 4),
        (GitError("unknown ref"), 5),
        (PublishError("no"), 6),
        (InternalError("two readings disagree"), 70),
        (ValueError("x" * 5000), 70),
        (RecursionError(), 70),
        (MemoryError(), 70),
        (KeyboardInterrupt(), 130),
    ],
)
def test_other_codes(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(monkeypatch, error) == code
    shown = capsys.readouterr().err
    assert shown.startswith("netreach: ")
    assert "Traceback" not in shown
    assert max(map(len, shown.splitlines())) < 1100


def test_verbose_shows_where(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code_of(monkeypatch, ValueError("oops"), "--verbose")
    assert "Traceback" in capsys.readouterr().err


def test_messages_cannot_command_a_ci_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code_of(monkeypatch, GitError("unknown ref\n::error::pwned\n##[add-mask]x \x1b[2J"))
    shown = capsys.readouterr().err
    assert not re.search(r"^::|##\[|\x1b", shown, re.MULTILINE)


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    assert cli.main(["diff", "--help"]) == 0
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.endswith(f"netreach {bot.__version__}\n")


def test_a_reader_that_goes_away_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "bot", "schema", "report"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        run.stdout.close()
        assert run.stderr is not None
        assert run.stderr.read() == b""
    assert run.returncode == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_when_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    stream = Terminal()
    with progress.Progress("comparing", stream):
        time.sleep(0.1)
    assert stream.getvalue().startswith("\rcomparing [")
    assert stream.getvalue().endswith("\r\x1b[K")
    quiet = io.StringIO()
    with progress.Progress("comparing", quiet), progress.Progress("comparing", None):
        time.sleep(0.05)
    assert quiet.getvalue() == ""


def test_progress_counts_renderings(monkeypatch: pytest.MonkeyPatch) -> None:
    from bot.render import watcher

    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    stream = Terminal()
    with progress.Progress("comparing", stream):
        watch = watcher.get()
        assert watch is not None
        watch(3, 12)
        time.sleep(0.1)
    assert "\rrendering [#####...............] 3 of 12" in stream.getvalue()
    assert watcher.get() is None


def test_colours_only_on_a_terminal_that_wants_them(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown = []
    for settings in ({}, {"NO_COLOR": "1"}, {"TERM": "dumb"}):
        with monkeypatch.context() as context:
            stream = Terminal()
            context.setattr(sys, "stdout", stream)
            for name, value in settings.items():
                context.setenv(name, value)
            assert cli.main(["diff", "main"]) == 0
            shown.append("\x1b[" in stream.getvalue())
    assert shown == [True, False, False]


def test_render_prints_only_what_is_generated(capsys: pytest.CaptureFixture[str]) -> None:
    fixture = Path(__file__).parent.parent / "fixtures" / "kyverno-default-deny"
    assert cli.main(["render", str(fixture / "head"), "--generated"]) == 0
    printed = capsys.readouterr().out
    documents = list(yaml.safe_load_all(printed))
    assert documents
    assert {(d["kind"], d["metadata"]["namespace"]) for d in documents} >= {("NetworkPolicy", "payments")}
    assert "generated by Kyverno" in printed
    assert cli.main(["render", str(fixture.parent / "three-tier" / "base"), "--generated"]) == 0
    assert capsys.readouterr().out == ""
