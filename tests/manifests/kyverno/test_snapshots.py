"""Snapshots of files in, generated objects with places out; and the repository of fixtures/kyverno-default-deny."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bot.manifests.kyverno import apply, apply_change, has_policies
from bot.manifests.snapshot import Object, Snapshot, load
from bot.manifests.yaml import Reader
from bot.sources import Files
from tests.manifests.kyverno.objects import made, namespace, policy, rule, target, texts

FIXTURE = Path(__file__).parents[3] / "fixtures" / "kyverno-default-deny"
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}
"""


def side(reader: Reader | None = None, **files: str) -> Snapshot:
    contents = {f"{name}.yaml": text.encode() for name, text in sorted(files.items())}
    return load(Files("here", None, contents, []), reader or Reader())


def folder(name: str, reader: Reader) -> Snapshot:
    files = {
        str(path.relative_to(FIXTURE / name)): path.read_bytes() for path in sorted((FIXTURE / name).rglob("*.yaml"))
    }
    return load(Files(name, None, files, []), reader)


def test_origins_and_places() -> None:
    text = "# the policy\n" + yaml.safe_dump(
        policy(rule(generate=target(name="{{ nothing }}")), rule(name="good")), sort_keys=False
    )
    snapshot = side(policies=text, shop=DEPLOYMENT)
    found = apply(snapshot)
    assert made(found) == ["NetworkPolicy default/deny", "NetworkPolicy shop/deny"] or made(found) == [
        "NetworkPolicy shop/deny"
    ]
    (written,) = snapshot.by_kind("ClusterPolicy")
    assert all(each.rule_origin.policy is written for each in found.objects)
    (note,) = found.notes
    assert note.policy is written
    lines = text.splitlines()
    assert note.file == "policies.yaml" and note.lines is not None
    assert lines[note.lines[0] - 1].strip() == "- name: r"
    assert "nothing" in "\n".join(lines[note.lines[0] - 1 : note.lines[1]])
    assert "good" not in "\n".join(lines[note.lines[0] - 1 : note.lines[1]])


def test_workloads_are_triggers() -> None:
    match = {"any": [{"resources": {"kinds": ["Deployment"]}}]}
    generated = target(name="{{request.object.metadata.name}}", namespace="{{request.namespace}}")
    assert made(apply(side(a=yaml.safe_dump(policy(rule(match=match, generate=generated))), b=DEPLOYMENT))) == [
        "NetworkPolicy shop/web"
    ]


def test_workloads_that_no_rule_reads_stay_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = side(a=yaml.safe_dump(policy()), b=DEPLOYMENT)
    asked: list[str] = []

    def value(found: Object) -> object:
        asked.append(found.kind)
        return _value(found)

    monkeypatch.setattr(Object, "value", property(value))
    apply(snapshot)
    assert "Deployment" not in asked and "ClusterPolicy" in asked


def _value(found: Object) -> object:
    value = found.document.value
    for step in found.pointer:
        value = value[step]
    return value


def test_kinds_that_are_not_read_are_said() -> None:
    match = {"any": [{"resources": {"kinds": ["ConfigMap"]}}]}
    written = policy(rule(match=match, generate=target(namespace="shop")))
    assert texts(apply(side(a=yaml.safe_dump(written)))) == [
        ("the rule fires for objects that are not read: ConfigMap", True)
    ]
    secret = policy(rule(match=match, generate=target(apiVersion="v1", kind="Secret", namespace="shop")))
    assert [incomplete for _, incomplete in texts(apply(side(a=yaml.safe_dump(secret))))] == [False]


def test_a_change_names_the_side_of_a_rule() -> None:
    reader = Reader()
    text, shop = yaml.safe_dump(policy(rule(generate=target(synchronize=False)))), yaml.safe_dump(namespace("shop"))
    base, head = side(reader, a=text, b=shop), side(reader, b=shop)
    before, after = apply_change(base, head)
    assert made(before) == ["NetworkPolicy shop/deny"]
    assert made(after) == ["NetworkPolicy shop/deny (kept)"]
    assert [note.file for note in after.notes] == ["a.yaml"]


def test_without_policies_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from bot.manifests.kyverno import has_policies; from bot.manifests.snapshot import load;"
        "from bot.manifests.yaml import Reader; from bot.sources import Files;"
        "side = load(Files('x', None, {'a.yaml': b'kind: Namespace\\napiVersion: v1\\nmetadata: {name: a}\\n'}, []), Reader());"
        "assert not has_policies(side);"
        "print([name for name in sys.modules if name.split('.')[0] in ('jmespath', 'celpy', 're2', 'lark')"
        " or name.startswith('bot.manifests.kyverno.')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert (run.stdout.strip(), run.stderr) == ("[]", "")


def test_the_tutorials_policies_isolate_an_added_namespace() -> None:
    reader = Reader()
    base, head = apply_change(folder("base", reader), folder("head", reader))
    assert made(base) == ["NetworkPolicy shop/allow-dns", "NetworkPolicy shop/default-deny"]
    assert made(head) == ["NetworkPolicy payments/allow-dns", "NetworkPolicy payments/default-deny", *made(base)]
    assert (base.notes, head.notes) == ((), ())
    assert has_policies(folder("base", reader))
    by_name = {each.key[2:]: each for each in head.objects}
    deny = by_name["payments", "default-deny"]
    assert deny.value["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert (deny.trigger, deny.rule_origin.name, deny.rule_origin.path) == (
        "Namespace payments",
        "default-deny",
        ("spec", "rules", 0),
    )
    dns = by_name["payments", "allow-dns"].value["spec"]
    assert dns["policyTypes"] == ["Egress"]
    assert [(port["protocol"], port["port"]) for port in dns["egress"][0]["ports"]] == [("UDP", 53), ("TCP", 53)]
