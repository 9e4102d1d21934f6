"""The pipeline: where its settings come from, several environments, and what it says of a change of its own config."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bot import cli, review
from bot.errors import GitError, UsageError
from bot.review import Folders, Place, Refs, Review, Settings
from tests.conftest import Git

PODS = """apiVersion: v1
kind: Pod
metadata: {name: a, namespace: s, labels: {app: a}}
spec: {containers: [{name: a, image: a}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: s, labels: {app: b}}
spec: {containers: [{name: b, image: b}]}
"""
DENY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: s}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""
ALLOW = DENY.replace("name: deny", "name: allow").replace("podSelector: {}", "podSelector: {}, ingress: [{}]")
TEMPLATE = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Values.name }}\n"


def _folders(tmp_path: Path, base: dict[str, str], head: dict[str, str], settings: Settings | None = None) -> Review:
    for side, files in (("base", base), ("head", head)):
        (tmp_path / side).mkdir(exist_ok=True)
        for name, text in files.items():
            place = tmp_path / side / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
    return review.review_folders(str(tmp_path / "base"), str(tmp_path / "head"), settings or Settings())


def _opened(found: Review) -> list[tuple[str, bool]]:
    return [(one.name, any("s/a" in row.sources for row in one.changes)) for one in found.environments]


CLOSED = {"k8s/pods.yaml": PODS, "k8s/deny.yaml": DENY}
OPENED = {**CLOSED, "k8s/allow.yaml": ALLOW}


# --- Where settings come from ---


def test_without_a_config_it_is_not_even_imported(tmp_path: Path) -> None:
    _folders(tmp_path, CLOSED, OPENED)
    script = (
        "import sys; from bot import review; "
        f"review.review_folders({str(tmp_path / 'base')!r}, {str(tmp_path / 'head')!r}, review.Settings()); "
        "sys.exit('bot.config' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parent.parent).returncode == 0


def test_the_config_is_the_base_side_s(tmp_path: Path) -> None:
    base = {**CLOSED, ".netreach.yml": "version: 1\ngate: {fail-on: [any-opened]}\n"}
    head = {**OPENED, ".netreach.yml": "version: 1\ngate: {fail-on: [never]}\n"}
    found = _folders(tmp_path, base, head)
    assert (found.verdict, found.fail_on) == ("blocked", ("any-opened",))
    assert found.notes == ("this change changes .netreach.yml: the base side's counts here",)


@pytest.mark.parametrize(
    ("before", "after", "note"),
    [
        (None, "version: 1\n", "this change adds .netreach.yml: there is none on the base side, so none counts here"),
        ("version: 1\n", None, "this change deletes .netreach.yml: the base side's counts here"),
        (
            "version: 1\n",
            "version: 1\ngates: {}\n",
            "this change changes .netreach.yml: the base side's counts here; the new one has a mistake, "
            ".netreach.yml:2: unknown key 'gates': did you mean gate?",
        ),
    ],
)
def test_a_change_of_the_config_is_told(before: str | None, after: str | None, note: str, tmp_path: Path) -> None:
    one, two = ({**CLOSED, **({".netreach.yml": text} if text else {})} for text in (before, after))
    found = _folders(tmp_path, one, two)
    assert (found.notes, found.verdict) == ((note,), "pass")


def test_a_mistake_in_the_config_is_an_error_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^\.github/netreach\.yml:2: unknown key 'asume': did you mean assume\?$"):
        _folders(tmp_path, {**CLOSED, ".github/netreach.yml": "version: 1\nasume: {}\n"}, OPENED)


def test_another_config_by_flag(tmp_path: Path) -> None:
    other = tmp_path / "other.yml"
    other.write_text("version: 1\ngate: {fail-on: [any-opened]}\n", encoding="utf-8")
    found = _folders(tmp_path, {**CLOSED, ".netreach.yml": "nonsense"}, OPENED, Settings(config=str(other)))
    assert (found.verdict, found.notes) == ("blocked", ())


def test_flags_come_before_the_config(tmp_path: Path) -> None:
    config = "version: 1\nassume: {cni: flannel, podCIDRs: none}\ngate: {fail-on: [any-opened]}\npaths: {include: [nowhere]}\n"
    given = Settings(cni="kubernetes", fail_on=("internet",), include=("k8s",))
    found = _folders(tmp_path, {**CLOSED, ".netreach.yml": config}, {**OPENED, ".netreach.yml": config}, given)
    assert (found.environments[0].cni, found.fail_on) == ("kubernetes", ("internet",))
    assert found.environments[0].workloads == 2


def test_variables_come_between_flags_and_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = "version: 1\nassume: {cni: calico}\ngate: {fail-on: [never]}\n"
    _folders(tmp_path, {**CLOSED, ".netreach.yml": config}, OPENED)
    arguments = ["diff", "--dirs", str(tmp_path / "base"), str(tmp_path / "head"), "--format", "json"]
    assert cli.main(arguments) == 0
    assert '"cni": "calico"' in capsys.readouterr().out
    monkeypatch.setenv("NETREACH_CNI", "kubernetes")
    monkeypatch.setenv("NETREACH_FAIL_ON", "any-opened, internet")
    monkeypatch.setenv("NETREACH_EXCLUDE", "x/**,y/**")
    assert cli.main(arguments) == 1
    assert '"cni": "kubernetes"' in capsys.readouterr().out
    assert cli.main([*arguments, "--cni", "flannel", "--fail-on", "never"]) == 0
    assert '"cni": "flannel"' in capsys.readouterr().out
    monkeypatch.setenv("NETREACH_CNI", "unheard-of")
    assert cli.main(arguments) == 2
    assert "NETREACH_CNI=unheard-of: not one of" in capsys.readouterr().err


def test_paths_of_the_config(tmp_path: Path) -> None:
    config = "version: 1\npaths: {include: ['k8s/**'], exclude: ['**/testdata/**']}\n"
    more = {"other/p.yaml": TEMPLATE, "k8s/testdata/p.yaml": TEMPLATE, ".netreach.yml": config}
    found = _folders(tmp_path, {**CLOSED, ".netreach.yml": config}, {**OPENED, **more})
    assert (found.verdict, found.environments[0].incomplete) == ("look", ())


def test_what_the_config_assumes(tmp_path: Path) -> None:
    config = "version: 1\nassume: {cni: flannel, known-complete: [s]}\n"
    elsewhere = {"k8s/c.yaml": DENY.replace("name: deny", "name: c").replace("{}", "{matchLabels: {app: c}}")}
    _folders(tmp_path, {**CLOSED, **elsewhere, ".netreach.yml": config}, CLOSED)
    found = review.listing(Place(str(tmp_path / "base")), Settings())
    assert found.cni == "flannel"
    assert not any(facts.kind == "hypothetical" and facts.namespace == "s" for facts in found.endpoints.values())
    alone = review.listing(Place(str(tmp_path / "base" / "k8s")), Settings())
    assert any(facts.kind == "hypothetical" and facts.namespace == "s" for facts in alone.endpoints.values())


def test_an_incomplete_review_may_only_warn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warn = "version: 1\ngate: {on-incomplete: warn}\n"
    head = {**CLOSED, "k8s/t.yaml": TEMPLATE, ".netreach.yml": warn}
    found = _folders(tmp_path, {**CLOSED, ".netreach.yml": warn}, head)
    assert (found.verdict, found.on_incomplete) == ("incomplete", "warn")
    arguments = ["diff", "--dirs", str(tmp_path / "base"), str(tmp_path / "head")]
    assert cli.main(arguments) == 0
    assert "incomplete: 1 place could not be read, so this is not a pass (exit 0)" in capsys.readouterr().out
    assert cli.main([*arguments, "--on-incomplete", "fail"]) == 3


# --- Lint ---


def test_a_new_lint_error_blocks_where_that_is_asked_for(tmp_path: Path) -> None:
    asking = Settings(fail_on=("lint-error",))
    assert _folders(tmp_path, CLOSED, OPENED, asking).verdict == "look"
    nulled = {**CLOSED, "k8s/deny.yaml": DENY.replace("podSelector: {}", "podSelector: {matchLabels: }")}
    found = _folders(tmp_path, CLOSED, nulled, asking)
    assert found.verdict == "blocked"
    lint = found.environments[0].lint
    assert lint is not None and [one.rule for one in lint.new] == ["NP014"]
    assert _folders(tmp_path, CLOSED, nulled).verdict == "look"
    (tmp_path / "head" / "k8s" / "allow.yaml").unlink()
    assert _folders(tmp_path, nulled, nulled, asking).verdict == "pass"


# --- Environments ---

TWO = """version: 1
assume: {cni: kubernetes}
environments:
  prod: {paths: ['prod/**']}
  test: {paths: ['test/**'], assume: {cni: flannel}}
"""


def _two(config: str = TWO) -> tuple[dict[str, str], dict[str, str]]:
    base = {f"{side}/{name}.yaml": text for side in ("prod", "test") for name, text in (("p", PODS), ("d", DENY))}
    base[".netreach.yml"] = config
    return base, {**base, "prod/a.yaml": ALLOW, "test/a.yaml": ALLOW}


def test_each_environment_is_compared_on_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _folders(tmp_path, *_two())
    assert [one.cni for one in found.environments] == ["kubernetes", "flannel"]
    assert _opened(found) == [("prod", True), ("test", False)]
    assert found.verdict == "look"
    assert not any("stands again" in note for one in found.environments for note in one.notes)
    assert cli.main(["diff", "--dirs", str(tmp_path / "base"), str(tmp_path / "head")]) == 0
    shown = capsys.readouterr().out
    assert "environment prod: look" in shown
    assert f"netreach explain --dirs {tmp_path}/base {tmp_path}/head --env prod --from" in shown


def test_one_environment(tmp_path: Path) -> None:
    found = _folders(tmp_path, *_two(), Settings(environment="test"))
    assert _opened(found) == [("test", False)]
    with pytest.raises(UsageError, match="--env pord: .netreach.yml has prod, test: did you mean prod"):
        _folders(tmp_path, *_two(), Settings(environment="pord"))


@pytest.mark.parametrize("config", [None, "version: 1\n"])
def test_an_environment_that_is_not_there(config: str | None, tmp_path: Path) -> None:
    base = {**CLOSED, ".netreach.yml": config} if config else CLOSED
    with pytest.raises(UsageError, match="--env prod"):
        _folders(tmp_path, base, OPENED, Settings(environment="prod"))


def test_commands_on_one_cluster_want_one_environment(tmp_path: Path) -> None:
    _folders(tmp_path, *_two())
    base, head = str(tmp_path / "base"), str(tmp_path / "head")
    with pytest.raises(UsageError, match="prod, test: choose one with --env"):
        review.listing(Place(base), Settings())
    assert review.listing(Place(base), Settings(environment="prod")).cni == "kubernetes"
    with pytest.raises(UsageError, match="choose one with --env"):
        review.explain("s/a", "s/b", "80", Folders(base, head), Settings())
    walked = review.explain("s/a", "s/b", "80", Folders(base, head), Settings(environment="prod"))
    assert [side[1] for side in walked.sides] == ["closed", "open"]


def test_an_environment_that_is_rendered_is_never_green(tmp_path: Path) -> None:
    config = TWO.replace("paths: ['prod/**']", "paths: ['prod/**'], render: {kustomize: prod}")
    base, _ = _two(config)
    found = _folders(tmp_path, base, base)
    assert [(one.name, one.verdict) for one in found.environments] == [("prod", "incomplete"), ("test", "pass")]
    assert found.verdict == "incomplete"
    assert "kustomize" in found.environments[0].incomplete[0].reason
    listed = review.listing(Place(str(tmp_path / "base")), Settings(environment="prod"))
    assert "kustomize" in listed.incomplete[0].reason


def test_an_environment_without_manifests_is_never_green(tmp_path: Path) -> None:
    base, head = _two(TWO.replace("'prod/**'", "'production/**'"))
    found = _folders(tmp_path, base, head)
    assert [(one.name, one.verdict) for one in found.environments] == [("prod", "incomplete"), ("test", "pass")]
    assert found.environments[0].incomplete[0].lines == (4, 4)
    assert _folders(tmp_path, base, head, Settings(allow_empty=True)).verdict == "pass"


# --- Git ---


def test_the_config_of_the_base_s_tip_counts_for_an_old_branch_too(git: Git) -> None:
    git.commit(CLOSED)
    git.run("checkout", "-q", "-b", "topic")
    git.commit({"k8s/allow.yaml": ALLOW, "k8s/pods.yaml": f"# topic\n{PODS}"})
    git.run("checkout", "-q", "main")
    git.commit({".netreach.yml": "version: 1\ngate: {fail-on: [any-opened]}\n", "k8s/pods.yaml": f"# main\n{PODS}"})
    found = review.review_refs(Refs(str(git.root), "main", "topic"), Settings())
    assert (found.mode, found.verdict) == ("branch", "blocked")
    assert "does not merge into main without conflict (k8s/pods.yaml)" in found.notes[0]
    with pytest.raises(GitError, match="merge or rebase first"):
        review.review_refs(Refs(str(git.root), "main", "topic", strict=True), Settings())
    assert cli.main(["diff", "main", "topic", "--repo", str(git.root), "--strict"]) == 5


def test_a_command_in_the_report_asks_the_same(git: Git, capsys: pytest.CaptureFixture[str]) -> None:
    git.commit(CLOSED)
    git.commit(OPENED)
    arguments = ["diff", "main~1", "main", "--repo", str(git.root), "--pod-cidrs", "none", "--exclude", "x y/**"]
    assert cli.main([*arguments, "--fail-on", "internet", "--cni", "calico"]) == 1
    asked = "--exclude 'x y/**' --cni calico --pod-cidrs none --from"
    assert asked in capsys.readouterr().out
    cli.main([*arguments, "--fail-on", "internet", "--format", "markdown"])
    assert "--fail-on internet --exclude 'x y/**' --pod-cidrs none" in capsys.readouterr().out


# --- Witnesses ---


def test_what_opens_to_the_internet_is_shown_from_there(tmp_path: Path) -> None:
    found = _folders(tmp_path, CLOSED, {"k8s/pods.yaml": PODS})
    (row,) = found.environments[0].changes
    assert row.severity == "internet"
    assert "internet" in row.sources
    assert row.witness.source == "internet"
