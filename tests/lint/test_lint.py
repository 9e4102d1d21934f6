"""What lint does with what rules find: suppressions, the config, what is new, and what a review looks at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot import cli, config, review
from bot.errors import UsageError
from bot.lint import registry, scope
from bot.lint.finding import Finding, Lint
from bot.lint.run import compare, lint
from bot.manifests.snapshot import Snapshot, load
from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.review import Settings
from bot.sources import Files
from tests.lint.test_rules import CASES

ROOT = Path(__file__).parent.parent.parent
POD = """apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: shop, labels: {app: %s}}
spec: {containers: [{name: c, image: c, ports: [{containerPort: 9000}]}]}
---
"""
POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: api
  namespace: shop
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
"""
PODS = POD % ("web", "web") + POD % ("api", "api")


def _side(text: str, reader: Reader, file: str = "k8s/shop.yaml") -> Snapshot:
    return load(Files("side", None, {file: text.encode()}, []), reader)


def _lint(text: str, settings: str = "", file: str = "k8s/shop.yaml") -> tuple[Finding, ...]:
    snapshot = _side(text, Reader(), file)
    own = config.parse(".netreach.yml", f"version: 1\n{settings}".encode()).lint
    return lint(snapshot, lower(snapshot, snapshot), own)


def _compare(base: str, head: str) -> Lint:
    reader = Reader()
    sides = _side(base, reader), _side(head, reader)
    return compare(*sides, lower(*sides))


def _told(found: tuple[Finding, ...]) -> list[tuple[str, int]]:
    return [(one.rule, one.lines[0]) for one in found]


def test_every_rule_is_planted_twice() -> None:
    planted = [path.stem[:5] for path in CASES]
    assert [entry.id for entry in registry.ENTRIES if planted.count(entry.id) < 2 and entry.id != registry.SUPPRESSION] == []


def test_every_rule_says_what_it_is() -> None:
    for rule in registry.every():
        entry = registry.BY_ID[rule.id]
        assert (rule.id, rule.name) == (entry.id, entry.name)
        assert all(text.endswith((".", ".)")) for text in (rule.detects, rule.why, rule.fix)) and rule.bad


# --- Suppressions ---

RULE = "    - from: [{podSelector: {matchLabels: {app: web}}}]\n"


@pytest.mark.parametrize(
    "text",
    [
        PODS + POLICY.replace(RULE, RULE.rstrip() + "   # netreach: ignore[NP020] the mesh picks its ports\n"),
        PODS + POLICY.replace(RULE, "    # netreach: ignore[rule-without-ports] the mesh picks its ports\n" + RULE),
        PODS + "# netreach: ignore[NP020] the mesh picks its ports\n" + POLICY,
        PODS + POLICY.replace("  name: api\n", "  name: api\n  annotations: {netreach/ignore: 'NP020[the mesh picks its ports]'}\n"),
    ],
    ids=["behind", "above", "whole", "annotation"],
)
def test_what_has_a_reason_is_ignored(text: str) -> None:
    assert _told(_lint(PODS + POLICY)) == [("NP020", 19)]
    assert _lint(text) == ()


def test_a_suppression_without_a_reason_ignores_nothing_and_is_told() -> None:
    text = PODS + POLICY.replace(RULE, RULE.rstrip() + "   # netreach: ignore[NP020]\n")
    assert _told(_lint(text)) == [("NP020", 19), ("NP140", 19)]
    annotated = PODS + POLICY.replace("  name: api\n", "  name: api\n  annotations: {netreach/ignore: NP020}\n")
    assert [rule for rule, _ in _told(_lint(annotated))] == ["NP140", "NP020"]


def test_a_suppression_that_outlived_its_finding_is_told() -> None:
    ports = RULE + "      ports: [{port: 9000}]\n"
    text = PODS + POLICY.replace(RULE, "    # netreach: ignore[NP020] the mesh picks its ports\n" + ports)
    (one,) = _lint(text)
    assert (one.rule, one.lines, one.severity) == ("NP140", (19, 19), "warning")
    assert _lint(text, "lint: {disable: [NP140]}\n") == _lint(text, "lint: {disable: [NP020]}\n") == ()


def test_a_suppression_of_a_rule_that_is_not_there_is_told() -> None:
    found = _lint(PODS + POLICY.replace(RULE, RULE.rstrip() + "   # netreach: ignore[NP999] why not\n"))
    assert [one.message for one in found if one.rule == "NP140"] == ["there is no rule NP999, so nothing is ignored"]


# --- The config ---


def test_the_config_switches_off_and_changes_severities() -> None:
    assert _lint(PODS + POLICY, "lint: {disable: [rule-without-ports]}\n") == ()
    assert _lint(PODS + POLICY, "lint: {severity: {NP020: 'off'}}\n") == ()
    assert [one.severity for one in _lint(PODS + POLICY, "lint: {severity: {NP020: error}}\n")] == ["error"]


def test_the_config_ignores_by_path() -> None:
    settings = "lint: {ignore: [{paths: ['legacy/**'], rules: [NP020], reason: goes away in May}]}\n"
    assert _lint(PODS + POLICY, settings, "legacy/a/shop.yaml") == ()
    assert _told(_lint(PODS + POLICY, settings)) == [("NP020", 19)]
    with pytest.raises(UsageError, match="reason"):
        _lint(PODS + POLICY, "lint: {ignore: [{paths: ['legacy/**'], rules: [NP020]}]}\n")


def test_the_config_names_rules_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"lint.disable: there is no rule rule-without-port; did you mean rule-without-ports\?"):
        _lint(PODS + POLICY, "lint: {disable: [rule-without-port]}\n")


# --- New, fixed, unchanged ---


def test_a_finding_is_the_same_wherever_its_lines_are() -> None:
    found = _compare(PODS + POLICY, PODS + "# moved\n# down\n" + POLICY)
    assert (found.new, found.fixed) == ((), ())
    assert _told(found.unchanged) == [("NP020", 21)]


def test_of_two_alike_the_added_one_is_new() -> None:
    found = _compare(PODS + POLICY, PODS + POLICY + RULE.replace("app: web", "app: api"))
    assert _told(found.new) == [("NP020", 20)] and _told(found.unchanged) == [("NP020", 19)]
    back = _compare(PODS + POLICY + RULE.replace("app: web", "app: api"), PODS + POLICY)
    assert _told(back.fixed) == [("NP020", 20)] and back.new == ()


def test_nothing_is_looked_at_where_nothing_differs() -> None:
    assert _compare(PODS + POLICY, PODS + POLICY) == Lint((), (), ())


def test_a_pod_that_goes_away_elsewhere_is_seen() -> None:
    front = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: front}}, podSelector: {matchLabels: {app: web}}}"
    policy = POLICY.replace("{podSelector: {matchLabels: {app: web}}}", front) + "      ports: [{port: 9000}]\n"
    front = (POD % ("web", "web") + POD % ("other", "other")).replace("shop", "front")
    gone = (POD % ("other", "other")).replace("shop", "front")
    found = _compare(front + POD % ("api", "api") + policy, gone + POD % ("api", "api") + policy)
    assert [one.rule for one in found.new] == ["NP011"]


NAMED = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}, podSelector: {matchLabels: {app: %s}}}"
SPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {%s}}\n---\n"
DENY = """---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: front}
spec: {podSelector: {}, policyTypes: [Egress]}
"""


def found_by_a_change(before: str, after: str) -> list[tuple[str, str]]:
    """(rule, object) of what a review finds; the same that a look at everything does."""
    reader = Reader()
    base, head = (load(Files(which, None, {"a.yaml": text.encode()}, []), reader) for which, text in (("b", before), ("h", after)))
    lowered = lower(base, head)
    narrow, whole = compare(base, head, lowered), compare(base, head, lowered, narrowed=False)
    assert (narrow.new, narrow.fixed) == (whole.new, whole.fixed)
    return [(one.rule, one.object) for one in narrow.new]


def test_a_pod_elsewhere_that_gets_the_labels_of_a_peer_is_seen() -> None:
    other = (POD % ("job", "%s")).replace("shop", "front")
    policy = POLICY.replace("app: web", "app: batch")
    own = POD % ("api", "api") + POD % ("db", "db")
    ports = policy + "      ports: [{port: 9000}]\n"
    found = found_by_a_change(own + other % "job" + ports, own + other % "batch" + ports)
    assert found == [("NP012", "NetworkPolicy shop/api")]


def test_a_namespace_that_loses_the_label_of_a_peer_is_seen() -> None:
    front = (POD % ("web", "web")).replace("shop", "front")
    peer = "{namespaceSelector: {matchLabels: {name: front}}}"
    text = POD % ("api", "api") + POLICY.replace("{podSelector: {matchLabels: {app: web}}}", peer) + "      ports: [{port: 9000}]\n---\n"
    found = found_by_a_change(front + text + SPACE % ("front", "name: front"), front + text + SPACE % ("front", "team: a"))
    assert ("NP013", "NetworkPolicy shop/api") in found


def test_a_deny_elsewhere_that_leaves_half_of_a_path_is_seen() -> None:
    front = (POD % ("web", "web") + POD % ("job", "job")).replace("shop", "front")
    policy = POLICY.replace("{podSelector: {matchLabels: {app: web}}}", NAMED % ("front", "web")) + "      ports: [{port: 9000}]\n"
    text = POD % ("api", "api") + POD % ("db", "db") + front + policy
    assert ("NP060", "NetworkPolicy shop/api") in found_by_a_change(text, text + DENY)


CLOSED = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {%s}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}
---
"""
ENTRY = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: stripe, namespace: shop}
spec: {hosts: [api.stripe.com]%s}
---
"""


@pytest.mark.parametrize(
    "text",
    [
        CLOSED % "matchLabels: {app: api}" + ENTRY % "",  # web may go out, and be whom it is for
        CLOSED % "" + ENTRY % ", location: MESH_INTERNAL",
        CLOSED % "" + ENTRY % ", endpoints: [{address: 10.0.0.1}]",
        CLOSED % "" + (ENTRY % "").replace("api.stripe.com", "api.shop.svc.cluster.local"),
        CLOSED % "" + ENTRY % "" + POD.replace("labels: {", "labels: {istio: egressgateway, ") % ("gate", "gate"),
    ],
)
def test_a_service_entry_that_somebody_can_use_is_left_alone(text: str) -> None:
    assert [one for one in found_by_a_change(PODS, PODS + text) if one[0] == "NP005"] == []
    assert ("NP005", "NetworkPolicy shop/deny") in found_by_a_change(PODS, PODS + CLOSED % "" + ENTRY % "")


ADMIN = """---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: deny-all}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {}}
  ingress: [{name: none, action: Deny, from: [{namespaces: {}}]}]
"""


@pytest.mark.parametrize("most", [1_000, 0])
def test_what_a_policy_of_the_cluster_does_elsewhere_is_seen(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope, "MOST_POLICIES", most)
    text = PODS + POLICY + "      ports: [{port: 9000}]\n"
    found = found_by_a_change(text, text + ADMIN)
    assert found == [("NP104", "NetworkPolicy shop/api")]  # and no half: a rule allows it, and another one denies it


@pytest.mark.parametrize("name", sorted(path.parent.name for path in (ROOT / "fixtures").glob("*/head")))
def test_a_review_says_what_a_look_at_everything_says(name: str) -> None:
    def side(which: str) -> dict[str, bytes]:
        folder = ROOT / "fixtures" / name / which
        paths = [path for path in sorted(folder.rglob("*.yaml")) if "templates" not in path.parts]
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}

    reader = Reader()
    base, head = (load(Files(which, None, side(which), []), reader) for which in ("base", "head"))
    lowered = lower(base, head)
    narrow, whole = compare(base, head, lowered), compare(base, head, lowered, narrowed=False)
    assert (narrow.new, narrow.fixed) == (whole.new, whole.fixed)
    assert set(narrow.unchanged) <= set(whole.unchanged)


# --- The command ---


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import jsonschema

    (tmp_path / "shop.yaml").write_text(PODS + POLICY.replace("app: api}}", "app: }}"))
    assert cli.main(["lint", str(tmp_path)]) == 0
    assert "error[NP014]" in capsys.readouterr().out
    assert cli.main(["lint", str(tmp_path), "--fail-on", "lint-error", "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    schema = json.loads((ROOT / "bot" / "schemas" / "lint.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    assert [one["rule"] for one in document["findings"]][0] == "NP014"
    assert cli.main(["lint", str(tmp_path), "--format", "markdown"]) == 0
    assert "| ❌ | `NP014` null-in-policy |" in capsys.readouterr().out


def test_a_review_tells_new_and_fixed_ones(tmp_path: Path) -> None:
    for which, text in (("base", PODS + POLICY), ("head", PODS + POLICY.replace(RULE, RULE + "      ports: [{port: 9001}]\n"))):
        (tmp_path / which).mkdir()
        (tmp_path / which / "shop.yaml").write_text(text)
    found = review.review_folders(str(tmp_path / "base"), str(tmp_path / "head"), Settings())
    from bot.report import github, markdown, sarif, stored
    from bot.report import json as document
    from bot.report import text as lines

    assert "lint: 1 new, 1 fixed" in lines.plain(lines.review(found))
    assert "<b>Lint</b>: 1 new, 1 fixed" in markdown.review(found)
    assert "title=NP041 port-not-exposed%3A NetworkPolicy shop/api" in github.review(found)
    log = json.loads(sarif.review(found))["runs"][0]
    assert [one["ruleId"] for one in log["results"] if one["ruleId"].startswith("NP")] == ["NP041"]
    assert stored.parse(document.review(found)).environments[0].lint == found.environments[0].lint


def test_the_pages_of_rules_are_in_step() -> None:
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "scripts/rule_pages.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)
