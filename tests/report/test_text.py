"""What a person sees in a terminal, and what a CI log makes of it."""

from __future__ import annotations

import io
import re
import subprocess
import sys

from bot.report import csv, dot, mermaid, terminal, text
from tests.report import reviews


def test_a_review_in_plain_text() -> None:
    shown = text.plain(text.review(reviews.BLOCKED))
    assert shown.isascii()
    assert shown.splitlines()[:2] == [
        "netreach 0.1.0: blocked. Payments/* (3) becomes reachable from the internet",
        "  main@9f31c02 + merge of b7d4e11   44 workloads, 17 policies",
    ]
    assert "error[opened]: payments/* (3) becomes reachable from the internet" in shown
    assert "  --> k8s/payments/netpol.yaml:1-9 (before)  NetworkPolicy payments/default-deny deleted" in shown
    assert " + 516 opened (3 groups)   - 60 closed (1 group)" in shown
    assert shown.endswith("\nblocked: 2 groups of changes fail the gate (internet) (exit 1)\n")


def test_verdicts() -> None:
    assert text.plain(text.review(reviews.PASS)).endswith(
        " no path opened or closed\n\npass: nothing changes (exit 0)\n"
    )
    assert text.plain(text.review(reviews.LOOK)).endswith("look: needs a look, 4 groups of changes (exit 0)\n")
    shown = text.plain(text.review(reviews.INCOMPLETE))
    assert "incomplete: k8s/shop/np.yaml:21: YAML: mapping values are not allowed here\n" in shown
    assert shown.endswith("incomplete: 2 places could not be read, so this is not a pass (exit 3)\n")
    assert "environment prod: look" in text.plain(text.review(reviews.TWO))


def test_environments_that_stay_as_they_are_are_one_line() -> None:
    prod, staging = reviews.TWO.environments
    many = tuple(staging._replace(name=f"e{index}") for index in range(47))
    shown = text.plain(text.review(reviews.TWO._replace(environments=(prod, *many, staging))))
    assert "\nunchanged: 48 environments (e0, e1, e2, e3, e4, e5, e6, e7, e8, e9 and 38 more)" in shown
    assert shown.count("\n") < text.plain(text.review(reviews.TWO)).count("\n") + 3
    told = staging._replace(notes=("something to know",), name="told")
    shown = text.plain(text.review(reviews.TWO._replace(environments=(prod, told, staging))))
    assert "environment told: pass\nnote: something to know" in shown
    assert "unchanged: 1 environment (staging)" in shown
    assert "environment staging: pass" in text.plain(text.review(reviews.TWO, verbose=True))


def test_verbose_names_assumptions_and_coverage() -> None:
    shown = text.plain(text.review(reviews.BLOCKED, verbose=True))
    assert "unread on both sides: charts/legacy/templates/np.yaml: Helm template (setting: render)" in shown
    assert "setting: assume.podCIDRs" in shown


def test_nothing_hostile_reaches_a_terminal_or_a_log() -> None:
    for shown in (
        text.plain(text.review(reviews.hostile(), verbose=True)),
        csv.review(reviews.hostile()),
        dot.review(reviews.hostile()),
        mermaid.review(reviews.hostile()),
    ):
        assert "##[" not in shown
        assert not re.search(r"^\s*::", shown, re.MULTILINE)
        assert all(line.isprintable() for line in shown.splitlines())
        shown.encode("utf-8")


def test_list_explain_verify() -> None:
    shown = text.plain(text.listing(reviews.LISTING)).splitlines()
    assert shown[0] == "internet   -> payments/pay-web  TCP 443"
    assert shown[2] == "shop/svc-1 -> batch/job-0       TCP 443, possibly UDP 53"
    assert "3 open paths (kubernetes)" in shown
    walked = text.plain(text.explanation(reviews.EXPLANATION))
    assert "before: denied\n" in walked
    assert "    --> k8s/payments/netpol.yaml:1-9  spec\n" in walked
    verified = text.plain(text.verification(reviews.VERIFICATION))
    assert "failed: shop/svc-0 to payments/pay-db TCP 5432: deny expected (no database)\n" in verified
    assert "unmatched: shop/gone to payments/pay-db: allow expected: nothing is called shop/gone\n" in verified
    assert verified.endswith("1 of 3 expectations held\n")


def test_colours_do_not_read_markup() -> None:
    stream = io.StringIO()
    terminal.write([[("error", "[bold]x[/bold] :smile:")]], stream)
    assert stream.getvalue() == "[bold]x[/bold] :smile:\n"


def test_steps_of_a_path() -> None:
    assert text.steps("spec.egress[1].to[0].podSelector") == ("spec", "egress", 1, "to", 0, "podSelector")
    assert text.steps("") == ()


def test_csv_has_a_row_for_each_change_or_pair() -> None:
    assert len(csv.review(reviews.BLOCKED).splitlines()) == 5
    pairs = csv.review(reviews.MOVED).splitlines()
    assert pairs[0] == "environment,from,to,before,after,endpoint"
    assert pairs[4] == "default,shop/svc-2,batch/job-0,none,possibly all,"
    assert csv.listing(reviews.LISTING).splitlines()[3] == "shop/svc-1,batch/job-0,TCP 443,UDP 53"


def test_pictures() -> None:
    graph = dot.review(reviews.BLOCKED)
    assert graph.startswith("digraph netreach {")
    assert 'n2 -> n4 [label="opened all", color="red"];' in graph
    chart = mermaid.review(reviews.BLOCKED)
    assert '  n2 -->|"opened all"| n4\n' in chart
    assert mermaid.listing(reviews.LISTING).startswith("flowchart LR\n")
    assert dot.listing(reviews.LISTING).count(" -> ") == 3


def test_a_plain_review_loads_nothing_heavy() -> None:
    code = (
        "import sys; from tests.report import reviews; from bot.report import text, json\n"
        "text.plain(text.review(reviews.BLOCKED)); json.dumps(json.review(reviews.BLOCKED))\n"
        "print([name for name in ('rich', 'deepdiff', 'jsonschema', 'subprocess', 'urllib.parse') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
