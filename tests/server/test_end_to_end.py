"""A webhook by HTTP, through the queue and a real Git server, to the comment and the check."""

from __future__ import annotations

from pathlib import Path

from bot.server.store import Store
from tests.github.local import Fault
from tests.server.conftest import POD, Scene
from tests.server.system import Process, pull_event

OPENED = {"k8s/deny.yaml": None}
POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}
"""


def test_opened_changed_and_back(scene: Scene):
    number, branch, head = scene.open(dict(OPENED))
    run = scene.concluded(head)
    assert (run["conclusion"], run["name"]) == ("neutral", "netreach")
    assert run["external_id"].startswith(f"pr:{number};base:{scene.work.run('rev-parse', 'main')[:12]};cfg:")
    (body,) = scene.comments(number)
    assert f"pr={number} head={head[:12]}" in body
    assert "`shop/deny` deleted" in body
    second = scene.push({"k8s/more.yaml": POD.replace("NAME", "more")}, branch)
    scene.change(number, second)
    assert scene.concluded(second)["conclusion"] == "neutral"
    (body,) = scene.comments(number)
    assert f"head={second[:12]}" in body
    # What was opened is closed again: the comment says so.
    third = scene.push({"k8s/deny.yaml": scene.work.run("show", "main:k8s/deny.yaml") + "\n", "k8s/more.yaml": None}, branch)
    scene.change(number, third)
    assert scene.concluded(third)["conclusion"] == "success"
    assert "gone as of" in scene.comments(number)[-1]


def test_force_pushed_while_it_is_looked_at(scene: Scene):
    number, branch, head = scene.open(dict(OPENED))
    scene.app.wait(lambda: bool(scene.github.checks(head)))
    scene.work.run("checkout", "-q", branch)
    scene.work.run("reset", "-q", "--hard", "main")
    second = scene.push({"k8s/policy.yaml": POLICY}, branch)
    scene.change(number, second, before=head, after=second)
    scene.concluded(second)
    assert scene.concluded(head)["conclusion"] in ("cancelled", "neutral")
    (body,) = scene.comments(number)
    assert f"head={second[:12]}" in body


def test_the_check_of_a_head_that_was_passed_over_is_cancelled(scene: Scene):
    number, branch, head = scene.unannounced(dict(OPENED))
    second = scene.push({"k8s/policy.yaml": POLICY}, branch)
    payload = pull_event(scene.github, number, "opened")
    scene.github.pulls[number]["head"]["sha"] = second
    assert scene.app.send("pull_request", payload)[0] == 202
    scene.tell(number, "synchronize")
    scene.concluded(second)
    run = scene.concluded(head) if scene.github.checks(head) else None
    assert run is None or run["conclusion"] == "cancelled"
    assert all(f"head={second[:12]}" in body for body in scene.comments(number))


def test_a_head_whose_webhook_was_lost_is_followed(scene: Scene):
    number, branch, head = scene.unannounced(dict(OPENED))
    payload = pull_event(scene.github, number, "opened")
    second = scene.push({"k8s/policy.yaml": POLICY}, branch)
    scene.github.pulls[number]["head"]["sha"] = second
    assert scene.app.send("pull_request", payload)[0] == 202
    assert scene.concluded(second)["conclusion"] != "cancelled"
    assert scene.concluded(head)["conclusion"] == "cancelled"


def test_retargeted(scene: Scene):
    scene.branch({"k8s/deny.yaml": None}, name="release")
    number, _, head = scene.open({**OPENED, "k8s/policy.yaml": POLICY})
    assert scene.concluded(head)["conclusion"] == "neutral"
    scene.github.pulls[number]["base"]["ref"] = "release"
    scene.tell(number, "edited", changes={"base": {"ref": {"from": "main"}, "sha": {"from": "0" * 40}}})
    run = scene.concluded(head, 2)
    assert run["external_id"].startswith(f"pr:{number};base:{scene.work.run('rev-parse', 'release')[:12]};")
    assert "Compared `release@" in scene.comments(number)[-1]


def test_a_title_edit_changes_nothing(scene: Scene):
    number, _, head = scene.open({**OPENED, "k8s/policy.yaml": POLICY})
    before = scene.concluded(head)
    scene.tell(number, "edited", 200, changes={"title": {"from": "old"}})
    assert scene.github.checks(head) == [before]


def test_closed(scene: Scene):
    number, _, head = scene.unannounced(dict(OPENED))
    payload = pull_event(scene.github, number, "opened")
    scene.github.pulls[number]["state"] = "closed"
    assert scene.app.send("pull_request", payload)[0] == 202
    scene.tell(number, "closed")
    assert scene.concluded(head)["conclusion"] == "cancelled"
    assert scene.comments(number) == []


def test_fork(scene: Scene):
    number, _, head = scene.open(dict(OPENED), fork=True)
    assert scene.concluded(head)["conclusion"] == "neutral"
    assert len(scene.comments(number)) == 1


def test_draft_is_commented_on_when_it_is_ready(scene: Scene):
    number, _, head = scene.unannounced(dict(OPENED))
    scene.github.pulls[number]["draft"] = True
    scene.tell(number, "opened")
    assert scene.concluded(head)["conclusion"] == "neutral"
    assert scene.comments(number) == []
    scene.github.pulls[number]["draft"] = False
    scene.tell(number, "ready_for_review")
    scene.app.wait(lambda: len(scene.comments(number)) == 1)
    scene.concluded(head, 2)


def test_merge_queue(scene: Scene):
    _, head = scene.branch(dict(OPENED), name="gh-readonly-queue/main/pr-1-abc")
    base = scene.work.run("rev-parse", "main")
    before = len(scene.github.comments)
    group: dict[str, object] = {"head_sha": head, "head_ref": "refs/heads/gh-readonly-queue/main/pr-1-abc", "base_sha": base}
    group |= {"base_ref": "refs/heads/main", "head_commit": None}
    scene.event("merge_group", "checks_requested", merge_group=group)
    run = scene.concluded(head)
    assert (run["conclusion"], run["external_id"].partition(";cfg")[0]) == ("neutral", f"group:main;base:{base}")
    assert len(scene.github.comments) == before


def test_run_again(scene: Scene):
    number, _, head = scene.open({**OPENED, "k8s/again.yaml": POLICY})
    run = scene.concluded(head)
    asked = {"external_id": run["external_id"], "head_sha": head, "id": run["id"]}
    scene.event("check_run", "rerequested", check_run=asked)
    scene.concluded(head, 2)
    scene.event("check_run", "requested_action", check_run=asked, requested_action={"identifier": "re-run"})
    scene.concluded(head, 3)
    scene.event("check_suite", "rerequested", check_suite={"head_sha": head, "id": 5})
    scene.concluded(head, 4)
    assert len(scene.comments(number)) == 1


def test_no_kubernetes_files(scene: Scene):
    number, _, head = scene.open({"docs/a.md": "x\n", "src/main.go": "package main\n"})
    run = scene.concluded(head)
    assert (run["conclusion"], run["output"]["title"]) == ("success", "no Kubernetes files touched")
    assert scene.comments(number) == []


def test_what_cannot_be_analysed_is_red(scene: Scene):
    scene.branch({".netreach.yml": "version: 1\nruels: []\n"}, name="broken")
    number, _, head = scene.open({**OPENED, "k8s/red.yaml": POLICY}, base_ref="broken")
    run = scene.concluded(head)
    assert (run["conclusion"], run["output"]["title"]) == ("failure", "could not analyse")
    assert ".netreach.yml:2" in run["output"]["summary"]
    assert scene.comments(number) == []


def test_config_of_the_base_names_the_check_and_rules(scene: Scene):
    rules = "rules:\n  - {id: closed, deny: {from: internet, to: 'ns:shop'}}\n"
    config = f"version: 1\n{rules}check: {{name: reachability}}\ncomment: {{mode: 'off'}}\n"
    scene.branch({".netreach.yml": config}, name="ruled")
    number, _, head = scene.open({**OPENED, ".netreach.yml": "version: 1\n"}, base_ref="ruled")
    run = scene.concluded(head)
    assert (run["conclusion"], run["name"]) == ("failure", "reachability")
    assert scene.github.annotations[run["id"]]
    assert scene.comments(number) == []


def test_a_base_that_moves_is_compared_again(scene: Scene):
    scene.branch({"k8s/extra.yaml": POD.replace("NAME", "extra")}, name="moving")
    number, _, head = scene.open({**OPENED, "k8s/m.yaml": POLICY}, base_ref="moving")
    first = scene.concluded(head)
    tip = scene.push({"k8s/extra.yaml": None}, "moving")
    scene.event("push", "", ref="refs/heads/moving", deleted=False)
    run = scene.concluded(head, 2)
    assert run["external_id"] != first["external_id"]
    assert f";base:{tip[:12]};" in run["external_id"]
    assert f"base={tip[:12]}" in scene.comments(number)[-1]


def test_two_pull_requests_with_one_head_conclude_with_the_worse(scene: Scene):
    name, _ = scene.branch({"k8s/deny.yaml": None}, name="already")
    number, _, head = scene.open(dict(OPENED))
    assert scene.concluded(head)["conclusion"] == "neutral"
    other = number + 500
    scene.github.pull(other, head, base_ref=name)
    scene.tell(other, "opened")
    run = scene.concluded(head, 2)
    assert run["external_id"].startswith(f"pr:{other};")
    assert (run["conclusion"], run["output"]["title"]) == ("neutral", f"pull request {number} has this head too: neutral")


def test_the_same_delivery_after_a_crash_and_after_success(scene: Scene):
    """The worker is killed while it fetches."""
    number, _, head = scene.unannounced(dict(OPENED))
    payload, fetches = pull_event(scene.github, number, "opened"), len(scene.github.fetches)
    scene.github.fail(Fault("GIT /acme/platform.git", 0, delay=3.0))
    assert scene.app.send("pull_request", payload, "one-delivery")[0] == 202
    scene.app.wait(lambda: len(scene.github.fetches) > fetches)
    scene.app.workers[0].restart()
    assert scene.app.send("pull_request", payload, "one-delivery")[0] == 200
    assert scene.concluded(head)["conclusion"] == "neutral"
    (body,) = scene.comments(number)
    assert scene.app.send("pull_request", payload, "one-delivery")[0] == 200
    assert scene.comments(number) == [body]


def test_nothing_is_written_for_a_head_that_moved_on_meanwhile(scene: Scene):
    number, branch, head = scene.unannounced(dict(OPENED))
    second = scene.push({"k8s/policy.yaml": POLICY}, branch)
    fetches = len(scene.github.fetches)
    scene.github.fail(Fault("GIT /acme/platform.git", 0, delay=1.0))
    scene.tell(number, "opened")
    scene.app.wait(lambda: len(scene.github.fetches) > fetches)
    with scene.github.lock:
        scene.github.pulls[number]["head"]["sha"] = second
    scene.tell(number, "synchronize")
    scene.concluded(second)
    assert scene.concluded(head)["conclusion"] == "cancelled"
    written = [call.body["body"] for call in scene.github.calls if call.method in ("POST", "PATCH") and "/comments" in call.path
               and f"pr={number} " in (call.body or {}).get("body", "")]  # fmt: skip
    assert written
    assert all(f"head={second[:12]}" in body for body in written)


def test_permissions_that_are_not_accepted_yet_cost_only_what_they_are_for(scene: Scene):
    work = scene.github.host("acme/poor", 510, scene.folder, 90)
    work.commit({"k8s/a.yaml": POD, "k8s/deny.yaml": POLICY.replace("web", "NAME").replace("ingress: [{from: [{podSelector: {}}]}]", "")})
    work.run("push", "-q", "origin", "main")
    work.run("checkout", "-q", "-b", "topic")
    head = work.commit({"k8s/deny.yaml": None})
    work.run("push", "-q", "origin", "topic")
    scene.github.poor, scene.github.refused = {90}, {"checks"}
    scene.github.pull(777, head, repository="acme/poor")
    scene.tell(777, "opened")
    scene.app.wait(lambda: len(scene.comments(777)) == 1)
    assert scene.github.checks(head) == []


def test_a_new_installation_is_looked_through(scene: Scene):
    _, _, head = scene.unannounced(dict(OPENED))
    scene.event("installation", "created")
    scene.concluded(head)


def test_a_worker_that_does_not_come_back(scene: Scene):
    """Another one takes over what it had under way, once it has been silent for long enough."""
    number, _, head = scene.unannounced(dict(OPENED))
    worker, fetches = scene.app.workers[0], len(scene.github.fetches)
    scene.github.fail(Fault("GIT /acme/platform.git", 0, delay=2.0))
    scene.tell(number, "opened")
    scene.app.wait(lambda: len(scene.github.fetches) > fetches)
    worker.end()
    other = Process("worker", {**worker.settings, "NETREACH_EXECUTOR_ID": "another"}, scene.folder / "another.log").ready()
    try:
        store = Store(f"sqlite:///{worker.settings['NETREACH_DATA_DIR']}/netreach.sqlite")
        with store._begin() as connection:
            connection.exec_driver_sql("UPDATE netreach_workers SET seen = seen - 100 WHERE executor = 'worker-0'")
        store.close()
        scene.concluded(head)
        assert "taking over from worker-0" in other.said()
    finally:
        other.end()


def test_nothing_secret_is_on_disk_or_said(scene: Scene):
    tokens = [*scene.github.granted, "Secret to Everybody", "PRIVATE KEY"]
    data = Path(scene.app.web.settings["NETREACH_DATA_DIR"])
    kept = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file() and path.suffix != ".pem")
    said = scene.app.web.said() + "".join(worker.said() for worker in scene.app.workers)
    assert tokens
    for token in tokens:
        assert token.encode() not in kept
        assert token not in said
