"""The comment on the local GitHub: one, current, own, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import UsageError
from bot.github import comment
from bot.github.client import Refused, connect
from bot.github.comment import Published, Statement, publish
from bot.github.marker import Marker, blocked_line, blocked_rows, checked_key, parse
from bot.report import markdown
from tests.github.conftest import QUICK
from tests.github.local import BOT, REPOSITORY, Fault, GitHub
from tests.report import reviews

OLD, NEW, NEWER = ("b7d4e117c0a2" + "0" * 28, "c90e3f2aa117" + "0" * 28, "d1a7703c4e90" + "0" * 28)
BASE = "9f31c02be415" + "0" * 28


def say(verdict: str = "look", head: str = OLD, text: str = "", blocked: tuple[str, ...] = (), key: str = "default"):
    words = text or f"{verdict} for {head}\n"
    return Statement(482, head, BASE, verdict, lambda limit: words[:limit], blocked, key=key)


def post(github: GitHub, what: Statement, mode: str = "escalate", when: str = "changes") -> Published:
    client = connect("ghs_actions", github.url, QUICK)
    return publish(client.get_repo(REPOSITORY), what, BOT, mode, when, settle=0.01)


def current(github: GitHub) -> list[Marker]:
    found = [parse(body) for body in github.bodies(482)]
    return [marker for marker in found if marker is not None and not marker.superseded]


@pytest.fixture(autouse=True)
def pull(github: GitHub) -> Iterator[None]:
    github.pull(482, OLD)
    yield


def test_marker_is_the_line_of_the_examples():
    line = (
        "<!-- netreach:comment v=1 key=default pr=482 head=b7d4e117c0a2 base=9f31c02be415"
        " verdict=blocked seq=17 digest=5a0c1e -->"
    )
    marker = parse(line + "\n### text")
    assert marker == Marker("default", 482, "b7d4e117c0a2", "9f31c02be415", "blocked", 17, "5a0c1e")
    assert marker.line() == line
    assert parse("x" + line) is None
    assert parse("> " + line) is None
    assert parse(line.replace("key=default", "key=a b")) is None


@given(st.text(max_size=300))
def test_no_body_breaks_the_parser(text: str):
    parse(text)
    blocked_rows(text)


@pytest.mark.parametrize("key", ["", "a b", "a--b", "-a", "a-", "x" * 65, "é", "a\n", "-->"])
def test_keys_that_cannot_stand_in_a_marker(key: str):
    with pytest.raises(UsageError):
        checked_key(key)


def test_blocked_rows_are_remembered():
    assert blocked_rows("x\n" + blocked_line(("aaaaaa", "bbbbbb"))) == {"aaaaaa", "bbbbbb"}
    assert blocked_rows("x\n" + blocked_line(())) == frozenset()
    assert len(blocked_line(tuple(f"{i:06x}" for i in range(1000)))) < 100


def test_created_edited_unchanged(github: GitHub):
    assert post(github, say()).done == "created"
    assert post(github, say()).done == "unchanged"
    github.pull(482, NEW)
    assert post(github, say(head=NEW)).done == "edited"
    (marker,) = current(github)
    assert (marker.seq, marker.head) == (2, NEW[:12])
    assert github.count("POST .*/comments") == 1


def test_body_stands_between_marker_and_footer(github: GitHub):
    link = f"https://github.com/{REPOSITORY}/blob"
    what = comment.statement(reviews.BLOCKED, 482, link)
    github.pull(482, what.head)
    post(github, what)
    (body,) = github.bodies(482)
    first, _, rest = body.partition("\n")
    assert first.startswith("<!-- netreach:comment v=1 key=default pr=482 ")
    assert rest.startswith(markdown.review(reviews.BLOCKED, link))
    assert f"--link {link}" in body
    assert len(blocked_rows(body)) == 2


@pytest.mark.parametrize(
    ("mode", "comments", "minimized"),
    [("escalate", 2, 1), ("update", 1, 0), ("hide-and-new", 2, 1), ("delete-and-new", 1, 0), ("new", 2, 0)],
)
def test_modes_when_it_gets_worse(github: GitHub, mode: str, comments: int, minimized: int):
    post(github, say("look"))
    github.pull(482, NEW)
    post(github, say("blocked", NEW, blocked=("aaaaaa",)), mode)
    assert len(github.bodies(482)) == comments
    assert len(github.minimized) == minimized
    (marker,) = current(github)
    assert (marker.verdict, marker.seq) == ("blocked", 2)


def test_escalates_for_a_new_blocked_row_and_not_for_a_known_one(github: GitHub):
    post(github, say("blocked", blocked=("aaaaaa", "bbbbbb")))
    github.pull(482, NEW)
    assert post(github, say("blocked", NEW, blocked=("bbbbbb",))).done == "edited"
    github.pull(482, NEWER)
    assert post(github, say("blocked", NEWER, blocked=("cccccc",))).done == "replaced"
    assert len(current(github)) == 1


def test_mode_off_and_when(github: GitHub):
    assert post(github, say("blocked"), "off").done == "nothing"
    assert post(github, say("blocked"), when="never").done == "nothing"
    assert post(github, say("pass")).done == "nothing"
    assert not github.comments
    assert post(github, say("pass"), when="always").done == "created"


def test_pass_is_edited_in_and_says_what_is_gone(github: GitHub):
    post(github, say("blocked", blocked=("aaaaaa",)))
    github.pull(482, NEW)
    for mode in ("hide-and-new", "escalate"):
        post(github, say("pass", NEW), mode)
    (body,) = github.bodies(482)
    assert "What `b7d4e11` changed is gone as of `c90e3f2`" in body


def test_nothing_of_others_is_touched(github: GitHub):
    planted = comment.compose(say("blocked", text="mine"), 3)
    other = comment.compose(say("blocked", text="other key", key="non-prod"), 3)
    inside = "quoted:\n" + planted
    github.say(482, "mallory", planted)
    github.say(482, BOT, other)
    github.say(482, BOT, inside)
    for head in (OLD, NEW, NEWER):
        github.pull(482, head)
        post(github, say("blocked", head, blocked=(head[:6],), key="prod"), "delete-and-new")
    assert github.bodies(482, "mallory") == [planted]
    assert github.bodies(482)[:2] == [other, inside]
    assert len(github.bodies(482)) == 3
    assert not github.minimized


def test_found_beyond_the_first_page(github: GitHub):
    for number in range(120):
        github.say(482, "mallory", f"chatter {number}")
    post(github, say())
    github.pull(482, NEW)
    assert post(github, say(head=NEW)).done == "edited"
    assert len(github.bodies(482)) == 1


def test_twenty_publishers_one_comment(github: GitHub):
    github.pull(482, NEW)
    heads = [NEW if index % 2 else OLD for index in range(20)]
    with ThreadPoolExecutor(20) as pool:
        done = list(pool.map(lambda head: post(github, say("look", head)), heads))
    assert {row.done for row in done[::2]} == {"nothing"}
    (body,) = github.bodies(482)
    marker = parse(body)
    assert marker is not None and marker.head == NEW[:12]
    github.pull(482, NEWER)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: post(github, say("look", NEWER)), range(20)))
    (after,) = current(github)
    assert (after.head, after.seq > marker.seq) == (NEWER[:12], True)
    assert len(github.bodies(482)) == 1


def test_duplicates_heal(github: GitHub):
    for seq in (1, 2, 3):
        github.say(482, BOT, comment.compose(say("look", text=f"run {seq}"), seq))
    oldest = min(github.comments)
    post(github, say("look", text="now\n"))
    assert list(github.comments) == [oldest]
    assert "now" in github.comments[oldest]["body"]


def test_nothing_is_written_for_a_head_that_moved_on(github: GitHub):
    github.pull(482, NEW)
    done = post(github, say(head=OLD))
    assert (done.done, github.comments) == ("nothing", {})
    assert "moved on" in done.why
    done = post(github, say(head=NEW)._replace(base_ref="release"))
    assert "another branch" in done.why


@pytest.mark.parametrize("status", [502, 500, 0])
def test_stored_and_then_an_error_is_one_comment(github: GitHub, status: int):
    github.fail(Fault("POST .*/comments", status, after=True))
    post(github, say())
    assert len(github.bodies(482)) == 1
    assert github.count("POST .*/comments") == 1


def test_not_stored_and_an_error_is_one_comment(github: GitHub):
    github.fail(Fault("POST .*/comments", 502), Fault("POST .*/comments", 0))
    post(github, say())
    assert len(github.bodies(482)) == 1


LIMITED = [
    Fault("", 403, "You have exceeded a secondary rate limit", (("Retry-After", "0"),)),
    Fault("", 403, "You have exceeded a secondary rate limit. Please wait"),
    Fault("", 429, "slow down", (("Retry-After", "0"),)),
    Fault("", 429, "slow down"),
    Fault("", 403, "API rate limit exceeded", (("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1"))),
]


@pytest.mark.parametrize("fault", LIMITED)
@pytest.mark.parametrize("call", ["POST .*/comments", "PATCH .*/comments", "GET .*/pulls/482", "GET .*/comments"])
def test_rate_limits_are_waited_for(github: GitHub, fault: Fault, call: str, monkeypatch: pytest.MonkeyPatch):
    waited: list[float] = []
    monkeypatch.setattr("bot.github.client._sleep", waited.append)
    if call.startswith("PATCH"):
        post(github, say())
        github.pull(482, NEW)
    github.fail(fault._replace(pattern=call))
    if fault.headers and fault.headers[0][0] == "X-RateLimit-Remaining":
        client = connect("ghs_actions", github.url, QUICK._replace(longest_wait=2))
        publish(client.get_repo(REPOSITORY), say(head=github.pulls[482]["head"]["sha"]), BOT, settle=0)
    else:
        post(github, say(head=github.pulls[482]["head"]["sha"]))
    assert len(github.bodies(482)) == 1
    assert len(waited) == 1


def test_a_long_limit_is_not_waited_for(github: GitHub):
    github.fail(Fault("POST .*/comments", 403, "secondary rate limit", (("Retry-After", "3600"),)))
    with pytest.raises(Refused, match="rate limit") as told:
        post(github, say())
    assert told.value.kind == "limited"


def test_limits_without_end_end(github: GitHub, monkeypatch: pytest.MonkeyPatch):
    waited: list[float] = []
    monkeypatch.setattr("bot.github.client._sleep", waited.append)
    github.fail(*[Fault("POST .*/comments", 429)] * 20)
    with pytest.raises(Refused) as told:
        post(github, say())
    assert told.value.kind == "limited"
    assert waited == [0.05, 0.1, 0.2]


def test_missing_rights_are_told_apart(github: GitHub):
    github.readers.add(BOT)
    with pytest.raises(Refused, match="Resource not accessible by integration") as told:
        post(github, say())
    assert told.value.kind == "forbidden"
    assert github.count("POST .*/comments") == 1


def test_too_long_gets_shorter(github: GitHub):
    github.longest = 20_000
    post(github, say(text="x" * 60_000))
    (body,) = github.bodies(482)
    assert 9_000 < len(body) < 20_000
    assert post(github, say(text="x" * 60_000)).done == "unchanged"


def test_slow_and_dropped_reads_recover(github: GitHub):
    github.fail(Fault("GET .*/comments", 200, delay=0.2), Fault("GET .*/comments", 0), Fault("GET .*/pulls", 503))
    assert post(github, say()).done == "created"


def test_author_by_token(github: GitHub):
    assert comment.author(connect("ghs_actions", github.url, QUICK), "ghs_actions") == BOT
    assert comment.author(connect("ghp_user", github.url, QUICK), "ghp_user") == "mallory"


def test_a_wrong_token_is_told(github: GitHub):
    with pytest.raises(Refused, match="may not do this"):
        comment.author(connect("nonsense", github.url, QUICK), "nonsense")


def test_hostile_names_go_through(github: GitHub):
    what = comment.statement(reviews.hostile(), 482, "https://github.com/o/r/blob")
    assert len(comment.compose(what, 1).encode()) < 65_536
