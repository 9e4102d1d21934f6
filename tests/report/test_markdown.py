"""The comment: what is never cut, the size, and that nothing in a repository can break it."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

from bot.gate.verdict import blocks
from bot.lint.finding import Finding, Lint
from bot.reachability.change import Change
from bot.report import markdown
from bot.review import Review
from tests.report import reviews

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
LINK = "https://github.com/acme/platform/blob"
TAGS = re.compile(r"</?[a-z]+>")


def check(body: str, value: Review) -> None:
    """Whatever the review: within the budget, balanced, no foreign markup, and the never-cut parts there."""
    assert len(body.encode("utf-8")) <= markdown.BUDGET
    assert body.count("<details>") == body.count("</details>") == body.count("<summary>") == body.count("</summary>")
    assert body.count("```") % 2 == 0
    columns = 0
    inside: list[str] = []
    for token in PARSER.parse(body):
        if token.type == "html_block":
            assert token.content.startswith(("<details>", "</details>"))
            assert set(TAGS.findall(token.content)) <= {
                "<details>",
                "</details>",
                "<summary>",
                "</summary>",
                "<b>",
                "</b>",
            }
        if token.type == "table_open":
            columns = 0
        elif token.type == "th_open":
            columns += 1
        elif token.type == "tr_close":
            assert columns in (2, 3, 7)
        for child in token.children or []:
            if child.type == "html_inline":
                assert child.content in ("<code>", "</code>", "<sub>", "</sub>")
                if child.content.startswith("</"):
                    assert inside.pop() == child.content.replace("/", "")
                else:
                    inside.append(child.content)
            assert child.type not in ("image", "s_open")
            if child.type == "link_open":
                assert str(child.attrs["href"]).startswith(LINK)
            if child.type == "text" and "<code>" not in inside:
                assert not re.search(r"(?:^|\W)@[A-Za-z]", child.content), child.content
    assert inside == []
    assert body.startswith("### ")
    assert "<sub>Compared " in body
    assert re.search(r"Locally: (?:`|<code>)netreach diff", body)
    stopping = sum(blocks(row, value.fail_on) for e in value.environments for row in e.changes)
    shown = len(re.findall(r"^\| ❌ \|", body, re.MULTILINE))
    assert shown == stopping or (
        shown >= 1 and re.search(r"^and [\d,]+ more groups?, [\d,]+ paths?", body, re.MULTILINE)
    )
    if any(e.incomplete for e in value.environments):
        assert "could not be read" in body.lower()
    for verb, total in zip(("opens", "closes", "changes the ports of"), counts(value), strict=True):
        said = re.search(rf"{verb} ([\d,]+)", body)
        assert total == (int(said[1].replace(",", "")) if said else 0)


def counts(value: Review) -> list[int]:
    """Opened, closed and changed paths, from the rows alone."""
    rows = [row for e in value.environments for row in e.changes if not row.endpoint]
    kinds = (("opened",), ("closed",), ("widened", "narrowed"))
    return [sum(row.paths for row in rows if row.change in kind) for kind in kinds]


def rows(body: str) -> list[str]:
    return [line for line in body.splitlines() if re.match(r"\| (❌|⚠️|🟢) \|", line)]


def test_blocked() -> None:
    body = markdown.review(reviews.BLOCKED, LINK)
    check(body, reviews.BLOCKED)
    assert body.startswith("### ❌ netreach: blocked. `payments/*` becomes reachable from the internet\n")
    assert "This pull request **opens 516 paths and closes 60** (3 with pods that are not in Git)." in body
    assert "2 groups of 4 fail the gate (internet)." in body
    table = rows(body)
    assert len(table) == 4
    assert [line[2] for line in table] == ["❌", "❌", "⚠", "🟢"]
    assert (
        "| 🌐 internet, every workload (44), 1 kind of pod not in Git | `payments/*` (3) | all | `payments/default-deny` deleted, "
        f"[was `k8s/payments/netpol.yaml:1-9`]({LINK}/{reviews.BASE.sha}/k8s/payments/netpol.yaml#L1-L9). Blocked by"
        in table[0]
    )
    assert "**To unblock:** restore `payments/default-deny`, take back the change of `shop/allow-egress`, or allow it" in body
    assert table[0].endswith("| 129 +3 |")
    assert table[2].endswith("| 360 |")
    assert len(body) < 8000


def test_counts_keep_their_separators() -> None:
    value = reviews.BLOCKED
    totals = value.environments[0].totals._replace(possible=1067, hypothetical=5389)
    body = markdown.review(value._replace(environments=(value.environments[0]._replace(totals=totals),)))
    assert "**opens 516 paths and closes 60** (1,067 only possible, 5,389 with pods that are not in Git)." in body


def test_a_merge_may_move_lines_so_a_branch_behind_gets_no_anchor() -> None:
    assert f"[`k8s/shop/egress.yaml:12-15`]({LINK}/{reviews.HEAD.sha}/k8s/shop/egress.yaml)" in markdown.review(
        reviews.LOOK, LINK
    )
    level = reviews.LOOK._replace(behind=0)
    assert f"{LINK}/{reviews.HEAD.sha}/k8s/shop/egress.yaml#L12-L15" in markdown.review(level, LINK)
    assert "https://" not in markdown.review(reviews.LOOK)


def test_no_change_is_three_lines() -> None:
    body = markdown.review(reviews.PASS)
    check(body, reviews.PASS)
    assert body.startswith(
        "### ✅ netreach: no path opened or closed\n\n44 workloads and 17 policies compared.\n\n<sub>"
    )
    assert len(body) < 400


def test_incomplete_is_said_first() -> None:
    body = markdown.review(reviews.INCOMPLETE, LINK)
    check(body, reviews.INCOMPLETE)
    assert body.startswith("### 🟠 netreach: incomplete. 2 places could not be read, so this is not a pass\n")
    assert "| YAML: mapping values are not allowed here |" in body
    assert "**closes 60 paths**" in body


def test_environments_and_notes() -> None:
    body = markdown.review(reviews.TWO)
    check(body, reviews.TWO)
    assert "**Note:** main and feature conflict: compared since they parted" in body
    assert "#### ⚠️ `prod`: needs a look" in body
    assert "\n✅ Unchanged: 1 environment (`staging`).\n" in body


def test_new_workloads_are_told_apart() -> None:
    body = markdown.review(reviews.MOVED)
    check(body, reviews.MOVED)
    assert "1 path belongs to added or removed workloads." in body
    assert "**opened** (new workload)" in body
    assert "TCP 443 → TCP 80-90, 443" in body
    assert "From: `shop/svc-0`, `shop/svc-1`, `shop/svc-2`, `shop/svc-3`, `shop/svc-4`" in body


def test_hostile_names() -> None:
    for link in (None, LINK):
        check(markdown.review(reviews.hostile(), link), reviews.hostile())


# scripts/fuzz_comment.py tries 10,000.
@pytest.mark.parametrize("seed", range(30))
def test_the_ladder_holds_for_any_review(seed: int) -> None:
    value = reviews.randomly(seed, (seed * 41) % 1200)
    body = markdown.review(value, LINK if seed % 2 else None)
    check(body, value)


def test_blocked_rows_outlive_everything_else() -> None:
    causes = (reviews.WIDENED._replace(object="n" * 250, file="f" * 250),)
    quiet = [reviews.change("closed", (f"a/{i}",), ("b/c",), severity="closed", causes=causes) for i in range(3000)]
    loud = [reviews.change("opened", (f"a/{i}",), ("b/c",), severity="internet", causes=causes) for i in range(100)]
    value = reviews.review(reviews.environment((*quiet, *loud), ("internet",)), fail_on=("internet",))
    body = markdown.review(value, LINK)
    check(body, value)
    assert sum("❌" in row for row in rows(body)) == 100
    assert "**opens 100 paths and closes 3,000**" in body
    assert re.search(r"and [\d,]+ more groups?, [\d,]+ paths?", body) or "3000 groups" in body or "3,000 groups" in body


def finding(severity: str = "error") -> Finding:
    return Finding("NP002", "peer-list-split", severity, "NetworkPolicy shop/api", "k8s/a|b.yaml", (3, 5), "two items", "join them", "u")


@pytest.mark.parametrize(("fail_on", "words"), [((), "(1 error)"), (("lint-error",), "(1 error, which fails the gate)")])
@pytest.mark.parametrize("rows", [(), reviews.ROWS])
def test_lint_is_counted_and_shown(rows: tuple[Change, ...], fail_on: tuple[str, ...], words: str) -> None:
    lint = Lint((finding(), finding("warning")), (finding("info"),), ())
    value = reviews.review(reviews.environment(rows, fail_on, lint=lint), fail_on=fail_on)
    body = markdown.review(value._replace(behind=0), LINK)
    assert f"2 new lint findings {words}." in body.split("\n\n")[1]
    assert "<summary><b>Lint</b>: 2 new, 1 fixed</summary>" in body
    place = f"{LINK}/{{}}/k8s/a%7Cb.yaml#L3-L5"
    assert f"({place.format(reviews.HEAD.sha)}) | two items. Join them |" in body
    assert f"({place.format(reviews.BASE.sha)}) | two items |" in body
    # The branch is behind: a merge may have moved the lines.
    assert f"({LINK}/{reviews.HEAD.sha}/k8s/a%7Cb.yaml) | two items" in markdown.review(value, LINK)
