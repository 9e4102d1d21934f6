"""The action's steps as the runner runs them, over a real Git repository and the local GitHub."""

from __future__ import annotations

import json
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.github import runner
from tests.github.local import BOT, REPOSITORY, WEBHOOKS, Fault, GitHub

ROOT = runner.ROOT
DENY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
"""
PODS = "".join(
    f"""---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: c, image: i, ports: [{{containerPort: 80}}]}}]}}
"""
    for name in ("web", "db")
)
BLOCK = {"fail-on": "any-opened"}


class Place(NamedTuple):
    folder: Path
    workspace: Path
    github: GitHub
    base: str
    head: str
    merge: str
    late: str

    def run(self, event: str, payload: dict[str, Any], **given: Any) -> runner.Result:
        install = given.pop("install", False)
        context = {
            "repository": REPOSITORY,
            "api_url": self.github.url,
            "server_url": "https://github.example",
            "token": given.pop("token", "ghs_actions"),
        }
        inputs = {name.replace("_", "-"): value for name, value in given.items()}
        return runner.run(self.folder, self.workspace, event, payload, inputs, context, install)


def git(folder: Path, *arguments: str) -> str:
    identity = (
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        "-c",
        "init.defaultBranch=main",
        "-c",
        "commit.gpgSign=false",
    )
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, files: dict[str, str | None]) -> str:
    for name, text in files.items():
        if text is None:
            (folder / name).unlink()
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "change")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def place(tmp_path: Path, github: GitHub) -> Place:
    """`topic` deletes the default-deny. `main` has moved on since, and the checkout is a shallow one of the merge commit."""
    author, bare, workspace = tmp_path / "author", tmp_path / "bare.git", tmp_path / "workspace"
    author.mkdir()
    git(author, "init", "-q")
    base = commit(author, {"k8s/deny.yaml": DENY, "k8s/pods.yaml": PODS})
    git(author, "checkout", "-qb", "topic")
    head = commit(author, {"k8s/deny.yaml": None})
    git(author, "checkout", "-q", "main")
    late = commit(author, {"k8s/readme.yaml": "# nothing\n"})
    git(author, "checkout", "-q", "--detach")
    git(author, "merge", "-q", "--no-ff", "-m", "merge", "topic")
    merge = git(author, "rev-parse", "HEAD")
    git(tmp_path, "clone", "-q", "--bare", str(author), str(bare))
    git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(bare, "update-ref", "refs/pull/482/head", head)
    git(bare, "update-ref", "refs/pull/482/merge", merge)
    git(bare, "fetch", "-q", str(author), merge)
    git(bare, "update-ref", "refs/heads/gh-readonly-queue/main/pr-482", merge)
    workspace.mkdir()
    git(workspace, "init", "-q")
    git(workspace, "remote", "add", "origin", bare.as_uri())
    git(workspace, "fetch", "-q", "--depth=1", "origin", "+refs/pull/482/merge:refs/remotes/pull/482/merge")
    git(workspace, "checkout", "-q", "--detach", "refs/remotes/pull/482/merge")
    github.pull(482, head)
    return Place(tmp_path, workspace, github, base, head, merge, late)


def pull_request(place: Place, action: str = "opened", fork: bool = False) -> dict[str, Any]:
    """GitHub's own example, with the numbers of this repository."""
    examples = WEBHOOKS["examples"]["pull_request"]
    payload = deepcopy(next(one for one in examples if one["action"] == action))
    pull = payload["pull_request"]
    payload["number"] = pull["number"] = 482
    pull["head"]["sha"], pull["head"]["ref"] = place.head, "topic"
    pull["base"]["ref"], pull["base"]["sha"] = "main", "1" * 40  # stale, as it may be
    if fork:
        pull["head"]["repo"]["id"] += 1
    return payload


def test_pull_request(place: Place):
    done = place.run("pull_request", pull_request(place), report_dir="out", sarif_file="out.sarif", **BLOCK)
    assert done.code == 1, done.errors
    out = done.outputs
    assert (out["verdict"], out["exit-code"], out["base-sha"], out["head-sha"]) == (
        "blocked", "1", place.late, place.head)  # fmt: skip
    assert out["merge-tree"] == git(place.workspace, "merge-tree", "--write-tree", place.late, place.head).strip()
    assert int(out["opened"]) > 0
    assert int(out["blocked"]) > 0
    (body,) = place.github.bodies(482)
    assert body.startswith("<!-- netreach:comment v=1 key=default pr=482 ")
    assert done.summary == body.partition("\n")[2].partition("<!-- netreach:blocked")[0]
    assert "::error file=k8s/pods.yaml," in done.log
    assert json.loads(Path(out["report-json"]).read_text())["verdict"] == "blocked"
    assert json.loads(Path(out["sarif-file"]).read_text())["runs"][0]["results"]
    assert out["comment-url"].startswith("https://github.com/acme/platform/pull/482#issuecomment-")
    assert f"compared `main@{place.late[:7]}`".lower() in body.lower()


def test_the_command_in_the_footer_gives_the_same_bytes(place: Place):
    place.run("pull_request", pull_request(place), **BLOCK)
    (body,) = place.github.bodies(482)
    shown = body.partition("Locally: `")[2].partition("`")[0]
    words = [*shown.split()[1:], "--format", "markdown", "--repo", str(place.workspace)]
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "bot", *words], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 1, done.stderr
    ours, theirs = body.partition("\n")[2].partition("<sub>Compared")[0], done.stdout.partition("<sub>Compared")[0]
    assert ours == theirs


def test_a_fork_has_everything_but_the_comment(place: Place):
    place.github.readers.add(BOT)
    done = place.run("pull_request", pull_request(place, fork=True), **BLOCK)
    assert done.code == 1
    assert "::notice title=netreach::could not comment on pull request 482" in done.log
    assert not place.github.comments
    assert done.summary
    passed = place.run("pull_request", pull_request(place, fork=True))
    assert (passed.code, passed.outputs["verdict"]) == (0, "look")


@pytest.mark.parametrize(
    ("event", "fork", "given", "rendered"),
    [
        ("pull_request", False, {}, None),
        ("pull_request", False, {"render": "off"}, "off"),
        ("pull_request", True, {"render": "on"}, "off"),
        ("pull_request_target", False, {"render": "on"}, "off"),
    ],
)
def test_what_may_be_rendered(place: Place, event: str, fork: bool, given: dict[str, str], rendered: str | None):
    done = place.run(event, pull_request(place, fork=fork), report_dir="out", **given)
    assert done.code == 0, done.errors
    report = json.loads((place.workspace / "out" / "report.json").read_text())
    assert report["asked"].get("render") == rendered


def test_publishing_that_fails_is_6_only_after_a_pass(place: Place):
    place.github.fail(Fault("POST .*/comments", 422, "Validation Failed"))
    assert place.run("pull_request", pull_request(place)).code == 6
    place.github.fail(Fault("POST .*/comments", 422, "Validation Failed"))
    assert place.run("pull_request", pull_request(place), **BLOCK).code == 1


@pytest.mark.parametrize("action", ["synchronize", "reopened", "ready_for_review"])
def test_other_actions_of_a_pull_request(place: Place, action: str):
    assert place.run("pull_request", pull_request(place, action), **BLOCK).code == 1


def test_a_title_edit_on_a_red_commit_is_still_red(place: Place):
    payload = pull_request(place) | {"action": "edited", "changes": {"title": {"from": "x"}}}
    first, second = (place.run("pull_request", payload, **BLOCK) for _ in range(2))
    assert (first.code, second.code) == (1, 1)
    assert len(place.github.bodies(482)) == 1
    assert place.github.count("PATCH") == 0


def test_merge_group(place: Place):
    payload = deepcopy(WEBHOOKS["examples"]["merge_group"][0])
    payload["merge_group"] |= {"head_sha": place.merge, "base_sha": place.late, "base_ref": "refs/heads/main"}
    done = place.run("merge_group", payload, **BLOCK)
    assert done.code == 1, done.errors
    assert (done.outputs["base-sha"], done.outputs["head-sha"]) == (place.late, place.merge)
    assert not place.github.calls


def test_workflow_run_asks_the_api_for_the_pull_request(place: Place):
    payload = deepcopy(WEBHOOKS["examples"]["workflow_run"][0])
    payload["workflow_run"] |= {"event": "pull_request", "head_sha": place.head, "head_branch": "topic"}
    payload["workflow_run"]["pull_requests"] = [{"number": 1}]
    payload["workflow_run"]["head_repository"]["owner"]["login"] = "stranger"
    place.github.pull(482, place.head, fork=True)
    done = place.run("workflow_run", payload, **BLOCK)
    assert done.code == 1, done.errors
    assert len(place.github.bodies(482)) == 1
    place.github.pull(482, "2" * 40, fork=True)
    moved = place.run("workflow_run", payload, **BLOCK)
    assert (moved.code, moved.outputs["verdict"]) == (0, "none")
    assert len(place.github.bodies(482)) == 1


def test_pull_request_target_reads_the_head_as_data(place: Place):
    workspace = place.workspace
    git(workspace, "fetch", "-q", "--depth=1", "origin", "main")
    git(workspace, "checkout", "-q", "--detach", "FETCH_HEAD")
    done = place.run("pull_request_target", pull_request(place, fork=True), **BLOCK)
    assert done.code == 1, done.errors
    assert git(workspace, "status", "--porcelain") == ""
    assert len(place.github.bodies(482)) == 1


def test_nothing_of_the_workspace_is_imported(place: Place):
    for name in ("json.py", "sitecustomize.py", "yaml.py", "bot.py", "github.py"):
        (place.workspace / name).write_text("raise SystemExit(99)\n")
    assert place.run("pull_request", pull_request(place), **BLOCK).code == 1


def test_config_of_the_base_side(place: Place):
    done = place.run("pull_request", pull_request(place), config="ci/netreach.yml")
    assert (done.code, done.outputs["verdict"]) == (2, "error")
    (place.workspace / "ci").mkdir()
    (place.workspace / "ci/netreach.yml").write_text("version: 1\n")
    assert place.run("pull_request", pull_request(place), config="ci/netreach.yml").code == 2


def test_comment_off_asks_nobody(place: Place):
    assert place.run("pull_request", pull_request(place), comment="off").code == 0
    assert not place.github.calls


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"mode": "rebase"}, 2),
        ({"fail_on": "everything"}, 2),
        ({"annotations": "many"}, 2),
        ({"comment": "loud"}, 2),
        ({"comment_key": "a b"}, 2),
        ({"base": "main"}, 2),
        ({"base": "nowhere", "head": "HEAD"}, 5),
        ({"pod_cidrs": "10.0.0.0/33"}, 2),
        ({"paths": "docs/**"}, 4),
    ],
)
def test_wrong_inputs(place: Place, inputs: dict[str, str], code: int):
    done = place.run("pull_request", pull_request(place), **inputs)
    assert done.code == code, done.errors
    assert done.outputs == {"verdict": "error", "exit-code": str(code)}
    assert "::error title=netreach could not analyse this::" in done.log


def test_an_event_without_sides_and_a_head_that_is_gone(place: Place):
    assert place.run("push", {"ref": "refs/heads/main"}).code == 2
    payload = pull_request(place)
    payload["pull_request"]["head"]["sha"] = "3" * 40
    assert place.run("pull_request", payload).code == 5


def test_hostile_names_are_no_commands(place: Place, tmp_path: Path):
    author = tmp_path / "author"
    git(author, "checkout", "-q", "topic")
    name = "::error::x%0A::set-output name=verdict::pass"
    head = commit(author, {f"k8s/{name}.yaml": PODS.replace("web", "'::stop-commands::x'").replace("db", '"a\\nb"')})
    git(tmp_path / "bare.git", "fetch", "-q", str(author), "+topic:refs/pull/482/head")
    place.github.pull(482, head)
    payload = pull_request(place)
    payload["pull_request"]["head"]["sha"] = head
    done = place.run("pull_request", payload, **BLOCK)
    assert done.code in (1, 3), done.errors
    lines = done.log.splitlines()
    first = next(line for line in lines if line.startswith("::stop-commands::"))
    token = first.removeprefix("::stop-commands::")
    outside = lines[: lines.index(first)] + lines[lines.index(f"::{token}::") + 1 :]
    known = ("::error ", "::warning ", "::notice ", "netreach: ")
    assert all(line.startswith(known) or not line or "more remark" in line for line in outside), outside


def test_steps_of_the_real_install(place: Place):
    if shutil.which("python3") is None:
        pytest.fail("the runner has python3")
    done = place.run("pull_request", pull_request(place), install=True, **BLOCK)
    assert done.code == 1, done.errors
    assert (place.folder / "temp/netreach-venv/bin/python").exists()


def test_inputs_are_all_passed_on():
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    step = action["runs"]["steps"][1]
    given = {value for value in step["env"].values() if "inputs." in value}
    assert given == {f"${{{{ inputs.{name} }}}}" for name in action["inputs"]}
    assert all("required" not in one for one in action["inputs"].values())
