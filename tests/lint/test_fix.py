"""`netreach lint --fix`: what it mends is mended, nothing else is written, and it opens no path that the finding does not speak of."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bot import cli
from bot.lint.context import Context, Run
from bot.lint.fix import fixes, patch
from bot.lint.run import drafts, lint
from bot.manifests.generated import join
from bot.manifests.snapshot import Snapshot, load
from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.reachability.analysis import compare
from bot.sources import Files
from tests.lint.test_rules import CASES, parts_of

DNS = ("a pod {k8s-app: kube-dns} in namespace kube-system", "169.254.20.10")
OPENS: dict[str, set[str]] = {
    "NP001-named-host": {"jobs/redis, jobs/worker to kube-dns"},
    "NP001-no-names": {"shop/web to kube-dns"},
    "NP004-kube-dns": {"shop/web to kube-dns"},
    "NP004-node-local": {"shop/web to 169.254.20.10/32"},
    "NP011-typo": {"shop/frontend to shop/api"},
    "NP012-egress": {"front/web to shop/api"},
    "NP012-ingress": {"front/web to shop/api"},
    "NP013-name": {"monitoring/grafana to shop/api"},
    "NP013-typo": {"monitoring/grafana to shop/api"},
    "NP043-smaller": set(),
}
"""What the fix of a case opens between ends that are known; what is not named here opens nothing."""


def _side(text: str, reader: Reader) -> Snapshot:
    return load(Files("side", None, {"case.yaml": text.encode()}, []), reader)


def _mended(text: str, cni: str | None = None) -> tuple[str, tuple[str, ...], str]:
    snapshot, _ = join(*[_side(text, Reader())] * 2)
    context = Context(Run(snapshot, snapshot, lower(snapshot, snapshot, cni)), True)
    found = fixes(snapshot, drafts([context])[0], {"case.yaml": text.encode()})
    if not found.files:
        return text, (), ""
    (one,) = found.files
    return one.after, one.rules, patch(found)


@pytest.mark.parametrize("path", [path for path in CASES if "#: base" not in path.read_text()], ids=lambda path: path.stem)
def test_a_fix_mends_and_opens_only_what_it_says(path: Path) -> None:
    parts = parts_of(path)
    cni = parts.get("cni")
    before = f"{parts['']}\n---\n{parts['bad']}\n"
    after, rules, _ = _mended(before, cni)
    if not rules:
        assert path.stem not in OPENS
        return
    assert set(rules) == {path.stem[:5]}
    reader = Reader()
    base, head = join(_side(before, reader), _side(after, reader))
    assert lint(head, lower(head, head, cni)) == ()
    lowered = lower(base, head, cni)
    if any(problem.refused for problem in lowered.problems_base):
        return  # an API server would not have had the policy at all
    found = compare(base, head, lowered)
    known = {name for name, facts in found.endpoints.items() if facts.kind != "hypothetical"} | set(DNS)
    opened = {
        f"{', '.join(sources)} to {', '.join(destinations)}"
        for change in found.changes
        if change.change in ("opened", "widened")
        for sources, destinations in [([s for s in change.sources if s in known], [d for d in change.destinations if d in known])]
        if sources and destinations
    }
    opened = {text.replace(DNS[0], "kube-dns") for text in opened}
    assert opened == OPENS.get(path.stem, set())


def test_every_rule_that_says_so_has_a_fix() -> None:
    from bot.lint import registry

    cases = [(path.stem[:5], parts_of(path)) for path in CASES]
    fixed = {rule for rule, parts in cases if _mended(f"{parts['']}\n---\n{parts['bad']}\n", parts.get("cni"))[1]}
    assert {rule.id for rule in registry.every() if rule.fixable} == fixed


LAYOUT = """# the shop
---
apiVersion: v1
kind: Pod
metadata: {name: web,   namespace: front, labels: {app: web}}
spec: {containers: []}
---   # its policies
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
    name: 'api'        # quoted
    namespace: "shop"
spec:
    podSelector: { matchLabels: { app: api } }
    policyTypes:
    - Ingress
    # who may come in
    ingress:
    - from:
      - podSelector:            # the web
          matchLabels:
              app:   "web"      # exactly


      ports:
      - {port: 9000, protocol: TCP}   # http
      - port: 9001
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}}
spec: {containers: [{name: c, image: c, ports: [{containerPort: 9000}, {containerPort: 9001}]}]}
"""


def test_comments_and_layout_are_kept() -> None:
    after, rules, text = _mended(LAYOUT)
    assert rules == ("NP012",)
    assert [line for line in text.splitlines()[2:] if line[:1] in "+-"] == [
        "+        namespaceSelector:",
        "+          matchLabels:",
        "+            kubernetes.io/metadata.name: front",
    ] or [line.strip("+ ") for line in text.splitlines()[2:] if line[:1] in "+-"] == [
        "namespaceSelector:",
        "matchLabels:",
        "kubernetes.io/metadata.name: front",
    ]
    assert [line for line in after.splitlines() if line in LAYOUT.splitlines()] == LAYOUT.splitlines()


def test_the_patch_applies_and_write_does_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("patched", "written"):
        (tmp_path / name / "k8s").mkdir(parents=True)
        (tmp_path / name / "k8s" / "shop.yaml").write_text(LAYOUT)
    assert cli.main(["lint", "--fix", str(tmp_path / "patched"), "--quiet"]) == 0
    diff = capsys.readouterr().out
    subprocess.run(["git", "apply", "-p1"], cwd=tmp_path / "patched", input=diff, text=True, check=True)
    assert cli.main(["lint", "--fix", "--write", str(tmp_path / "written")]) == 0
    said = capsys.readouterr()
    assert said.out == diff and "1 finding mended" in said.err
    texts = [(tmp_path / name / "k8s" / "shop.yaml").read_text() for name in ("patched", "written")]
    assert texts[0] == texts[1] != LAYOUT
    assert cli.main(["lint", str(tmp_path / "written")]) == 0
    assert "0 findings" in capsys.readouterr().out


def test_fix_is_for_one_state_of_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lint", "--write", str(tmp_path)]) == 2
    assert cli.main(["lint", "--fix", "main", "other"]) == 2
    assert "--fix is for PATH" in capsys.readouterr().err
