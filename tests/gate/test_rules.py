"""Rules and allow entries: what is newly broken, already broken, allowed, dead; and what that makes of the verdict."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from bot import cli
from bot.report import json as as_json
from bot.report import markdown, text
from tests.gate.cases import (
    ANYONE,
    FROM_SHOP,
    PAYMENTS,
    SHOP,
    deny,
    ingress,
    one,
    policy,
    review,
    rules,
    statuses,
    workload,
)

NO_INTERNET = rules("{id: no-internet, deny: {from: internet, to: 'ns:payments'}, why: PCI 1.3}")
BOTH = SHOP + PAYMENTS
OPEN = BOTH + ingress("payments", "public", "api", ANYONE)
ALLOW = """allow:
- {id: known, match: {from: internet, to: payments/api}, owner: '@acme/netsec', reason: launch, expires: 2027-01-31}
"""


def test_a_newly_broken_deny_blocks_with_a_witness(tmp_path: Path) -> None:
    found = review(tmp_path, NO_INTERNET, BOTH, OPEN)
    assert (found.verdict, statuses(found)) == ("blocked", {"no-internet": "newly broken"})
    environment = one(found)
    assert environment.gated is not None
    broken = environment.gated.rules[0]
    assert broken.certain
    assert broken.fails
    assert broken.witness is not None
    assert broken.witness[:5] == ("internet (IPv4)", "payments/api", "8080/tcp", "closed", "open")
    assert broken.witness.decided_after[-1].file == "k8s/all.yaml"
    assert {row.rule for row in environment.changes if "payments/api" in row.destinations} == {"no-internet"}


def test_what_was_broken_before_does_not_block_but_is_said(tmp_path: Path) -> None:
    after = OPEN + workload("shop", "new")
    found = review(tmp_path, NO_INTERNET, OPEN, after)
    assert (found.verdict, statuses(found)) == ("look", {"no-internet": "already broken"})
    shown = text.plain(text.review(found))
    assert "rule no-internet: deny internet to ns:payments (PCI 1.3): already broken by" in shown
    assert "before this change too" in shown


def test_a_mended_rule_is_said(tmp_path: Path) -> None:
    found = review(tmp_path, NO_INTERNET, OPEN, BOTH)
    assert (found.verdict, statuses(found)) == ("look", {"no-internet": "mended"})


def test_a_new_workload_without_protection_breaks_a_deny(tmp_path: Path) -> None:
    config = rules("{id: r, deny: {from: internet, to: 'ns:bare'}}")
    before = workload("bare", "kept") + policy("bare", "p", "{podSelector: {matchLabels: {app: kept}}}")
    found = review(tmp_path, config, before, before + workload("bare", "added"))
    assert (found.verdict, statuses(found)) == ("blocked", {"r": "newly broken"})


def test_severity_warn_and_fail_on(tmp_path: Path) -> None:
    warn = rules("{id: r, severity: warn, deny: {from: internet, to: 'ns:payments'}}")
    assert review(tmp_path / "a", warn, BOTH, OPEN).verdict == "look"
    assert review(tmp_path / "b", NO_INTERNET + "gate: {fail-on: [never]}\n", BOTH, OPEN).verdict == "look"
    assert review(tmp_path / "c", NO_INTERNET, BOTH, OPEN, fail_on=("internet",)).verdict == "blocked"


def test_an_allow_entry_answers_for_the_breach_and_the_rows(tmp_path: Path) -> None:
    found = review(tmp_path, NO_INTERNET + ALLOW, BOTH, OPEN)
    assert statuses(found) == {"no-internet": "allowed"}
    everyone = ALLOW.replace("from: internet", "from: '*'").replace("payments/api", "'label:app=api'")
    found = review(tmp_path / "c", NO_INTERNET + everyone, BOTH, OPEN)
    assert (found.verdict, {row.allowed_by for row in one(found).changes}) == ("allowed", {"known"})
    other = ALLOW.replace("payments/api", "payments/db")
    found = review(tmp_path / "b", NO_INTERNET + other, BOTH, OPEN)
    assert (found.verdict, statuses(found)) == ("blocked", {"no-internet": "newly broken"})


def test_everything_allowed_is_the_verdict_allowed(tmp_path: Path) -> None:
    before = SHOP + PAYMENTS
    after = before + ingress("payments", "from-shop", "api", FROM_SHOP, "8080")
    entry = """version: 1
allow:
- {id: ok, match: {from: 'ns:shop', to: 'ns:payments', ports: [8080/tcp]}, owner: me, reason: so, expires: 2027-01-31}
"""
    found = review(tmp_path, entry, before, after)
    assert found.verdict == "allowed"
    assert {row.allowed_by for row in one(found).changes} == {"ok"}
    assert "changed and allowed" in markdown.review(found)
    wider = before + ingress("payments", "from-shop", "api", FROM_SHOP)
    found = review(tmp_path / "b", entry, before, wider)
    assert found.verdict == "look"
    assert not any(row.allowed_by for row in one(found).changes)


@pytest.mark.parametrize(
    ("expires", "verdict", "status"), [("2026-11-24", "allowed", "in force"), ("2026-11-23", "look", "expired")]
)
def test_an_entry_ends_after_its_day(tmp_path: Path, expires: str, verdict: str, status: str) -> None:
    entry = (
        f"version: 1\nallow:\n- {{id: e, match: {{from: '*', to: '*'}}, owner: me, reason: so, expires: {expires}}}\n"
    )
    found = review(tmp_path, entry, BOTH, OPEN)
    gated = one(found).gated
    assert gated is not None
    assert (found.verdict, gated.allow[0].status) == (verdict, status)


def test_a_useless_entry_is_a_finding(tmp_path: Path) -> None:
    entry = """version: 1
allow:
- {id: closed, match: {from: 'ns:shop', to: payments/db}, owner: me, reason: so, expires: 2027-01-31}
- {id: typo, match: {from: 'ns:shpo', to: payments/db}, owner: me, reason: so, expires: 2027-01-31}
"""
    gated = one(review(tmp_path, entry, BOTH, BOTH)).gated
    assert gated is not None
    assert [(row.entry.id, row.status) for row in gated.allow] == [("closed", "useless"), ("typo", "useless")]
    assert "did you mean ns:shop?" in gated.allow[1].why


def test_a_rule_that_matches_nothing_fails(tmp_path: Path) -> None:
    config = rules("{id: typo, deny: {from: internet, to: 'ns:paymnets'}}")
    found = review(tmp_path, config, BOTH, BOTH)
    gated = one(found).gated
    assert gated is not None
    assert (found.verdict, gated.rules[0].status, gated.rules[0].fails) == ("blocked", "matches nothing", True)
    assert gated.rules[0].why == "nothing is ns:paymnets; did you mean ns:payments?"
    assert "1 rule broken: typo" in text.plain(text.review(found))


def test_a_dead_rule_can_be_mended_by_the_change_that_mends_it(tmp_path: Path) -> None:
    config = rules("{id: typo, deny: {from: internet, to: 'ns:paymnets'}}")
    review(tmp_path, config, BOTH, BOTH)
    (tmp_path / "head" / ".netreach.yml").write_text(config.replace("paymnets", "payments"))
    from bot.review import Settings, review_folders

    found = review_folders(str(tmp_path / "base"), str(tmp_path / "head"), Settings())
    assert found.verdict == "pass"
    assert statuses(found) == {"typo": "matches nothing"}


def test_a_rule_whose_namespace_goes_away_fails(tmp_path: Path) -> None:
    found = review(tmp_path, NO_INTERNET, BOTH, SHOP)
    assert (found.verdict, statuses(found)) == ("blocked", {"no-internet": "matches nothing"})


def test_require_guards_against_closing(tmp_path: Path) -> None:
    config = rules(
        "{id: shop-pays, require: {from: shop/web, to: payments/api, ports: [8080]}}",
        "{id: metrics, require: {from: 'ns:shop', to: '*', ports: [metrics]}}",
    )
    before = BOTH + ingress("payments", "from-shop", "api", FROM_SHOP, "8080")
    found = review(tmp_path, config, before, BOTH)
    assert (found.verdict, statuses(found)) == ("blocked", {"shop-pays": "newly broken", "metrics": "holds"})
    gated = one(found).gated
    assert gated is not None
    assert gated.rules[0].witness is not None
    assert gated.rules[0].witness[:5] == ("shop/web", "payments/api", "8080/tcp", "open", "closed")
    closed = before + deny("shop")
    assert statuses(review(tmp_path / "b", config, before, closed)) == {
        "shop-pays": "newly broken",
        "metrics": "newly broken",
    }


def test_one_of_several_ports_closed_breaks_a_require(tmp_path: Path) -> None:
    config = rules("{id: r, require: {from: shop/web, to: payments/api, ports: [8080, 9090]}}")
    before = BOTH + ingress("payments", "from-shop", "api", FROM_SHOP)
    after = BOTH + ingress("payments", "from-shop", "api", FROM_SHOP, "8080")
    assert statuses(review(tmp_path, config, before, after)) == {"r": "newly broken"}


def test_ports_and_cidrs_are_exact(tmp_path: Path) -> None:
    config = rules(
        "{id: office, deny: {from: 'cidr:203.0.113.0/24', to: 'ns:payments'}}",
        "{id: other, deny: {from: 'cidr:198.51.100.0/24', to: 'ns:payments'}}",
        "{id: port, deny: {from: internet, to: 'ns:payments', ports: [22]}}",
        "{id: named, deny: {from: internet, to: 'ns:payments', ports: [sql]}}",
    )
    block = "{ipBlock: {cidr: 203.0.113.7/32}}"
    found = review(tmp_path, config, BOTH, BOTH + ingress("payments", "x", "api", block, "443"))
    assert statuses(found) == {"office": "newly broken", "other": "holds", "port": "holds", "named": "holds"}
    found = review(tmp_path / "b", config, BOTH, BOTH + ingress("payments", "x", "db", block, "5432"))
    assert statuses(found)["named"] == "newly broken"


def test_a_deny_that_is_only_possibly_broken_says_so(tmp_path: Path) -> None:
    config = rules("{id: r, deny: {from: 'ns:shop', to: 'ns:payments'}}") + "assume: {podCIDRs: [10.0.0.0/8]}\n"
    part = ingress("payments", "x", "api", "{ipBlock: {cidr: 10.1.0.0/16}}")
    found = review(tmp_path, config, BOTH, BOTH + part)
    gated = one(found).gated
    assert gated is not None
    assert (gated.rules[0].status, gated.rules[0].certain, found.verdict) == ("newly broken", False, "blocked")
    assert "possibly newly broken" in text.plain(text.review(found))


def test_a_namespace_whose_pods_are_elsewhere(tmp_path: Path) -> None:
    """A repository of policies alone: the rule is about pods that are not in Git."""
    config = rules("{id: r, deny: {from: internet, to: 'ns:payments'}}")
    before = SHOP + deny("payments")
    found = review(tmp_path, config, before, before + policy("payments", "open", "{podSelector: {}, ingress: [{}]}"))
    assert (found.verdict, statuses(found)) == ("blocked", {"r": "newly broken"})


def test_a_load_balancer_is_a_way_in_from_the_internet(tmp_path: Path) -> None:
    """Policies that let its nodes in: the addresses of the internet stay closed, the exposure opens."""
    way = """---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: shop}
spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""
    before = SHOP + deny("shop") + ingress("shop", "cluster", "web", "{namespaceSelector: {}}")
    config = rules("{id: r, deny: {from: internet, to: 'ns:shop'}}")
    assert statuses(review(tmp_path, config, before, before)) == {"r": "holds"}
    found = review(tmp_path / "b", config, before, before + way)
    assert statuses(found) == {"r": "newly broken"}
    gated = one(found).gated
    assert gated is not None
    assert gated.rules[0].witness is not None
    assert gated.rules[0].witness.source == "ingress:shop/shop"


def test_rules_come_from_the_base_side(tmp_path: Path) -> None:
    review(tmp_path, NO_INTERNET, BOTH, OPEN)
    (tmp_path / "head" / ".netreach.yml").write_text("version: 1\n")
    from bot.review import Settings, review_folders

    found = review_folders(str(tmp_path / "base"), str(tmp_path / "head"), Settings())
    assert found.verdict == "blocked"
    assert any("this change changes .netreach.yml" in note for note in found.notes)


def test_a_rule_may_match_in_one_environment_alone(tmp_path: Path) -> None:
    config = NO_INTERNET + "environments: {a: {paths: ['k8s/**']}, b: {paths: ['b/**']}}\n"
    found = review(tmp_path, config, BOTH, BOTH, {"b/x.yaml": SHOP})
    assert [env.verdict for env in found.environments] == ["pass", "pass"]


def test_the_documents_are_valid_and_the_same_for_every_hash_seed(tmp_path: Path) -> None:
    config = NO_INTERNET + ALLOW
    expected = {
        ".netreach/expectations.yaml": "expectations:\n- {from: internet, to: payments/api, port: 8080, expect: deny}\n"
    }
    found = review(tmp_path, config, BOTH, OPEN, expected)
    schema = Path(as_json.__file__).parents[1] / "schemas" / "report.json"
    jsonschema.validate(json.loads(as_json.dumps(as_json.review(found))), json.loads(schema.read_text()))
    assert found.verdict == "blocked"
    assert one(found).expected is not None
    seen = set()
    for seed in ("1", "2"):
        arguments = ["diff", "--dirs", str(tmp_path / "base"), str(tmp_path / "head"), "--format", "json"]
        done = subprocess.run(
            [sys.executable, "-m", "bot", *arguments],
            capture_output=True,
            env={"PYTHONHASHSEED": seed, "NETREACH_TODAY": "2026-11-24", "PATH": ""},
            cwd=Path(__file__).parents[2],
        )
        assert done.returncode == 1, done.stderr
        seen.add(done.stdout)
    assert len(seen) == 1


def test_hostile_names_do_not_break_a_report(tmp_path: Path) -> None:
    config = """version: 1
groups: {"a|b`<b>": "ns:payments"}
rules:
- {id: r, deny: {from: internet, to: "a|b`<b>"}, why: "@everyone </details> | x"}
"""
    found = review(tmp_path, config, BOTH, OPEN)
    body = markdown.review(found)
    assert found.verdict == "blocked"
    assert body.count("<details>") == body.count("</details>")
    assert '<b>"' not in body
    assert not any(line.startswith("- ") and "@everyone" in line for line in body.splitlines())


def test_today_must_be_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    review(tmp_path, NO_INTERNET, BOTH, OPEN)
    monkeypatch.setenv("NETREACH_TODAY", "tomorrow")
    assert cli.main(["diff", "--dirs", str(tmp_path / "base"), str(tmp_path / "head")]) == 2
    assert "not a day like" in capsys.readouterr().err
