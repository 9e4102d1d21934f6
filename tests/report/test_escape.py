"""One place escapes what comes from a repository; a Markdown parser is the judge."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.report.escape import cell, code, plain, prose, target
from tests.report.reviews import HOSTILE

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def inline(text: str) -> list[Token]:
    tokens = PARSER.parse(text)
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"], text
    return tokens[1].children or []


@given(st.text())
@example("`")
def test_code_is_one_span_of_the_same_text(text: str) -> None:
    tokens = inline(f"x {code(text)} y")
    shown = [token for token in tokens if token.type == "code_inline"]
    if shown:
        assert [token.type for token in tokens] == ["text", "code_inline", "text"]
        assert shown[0].content == plain(text)
    else:
        assert [token.content for token in tokens if token.type == "html_inline"] == ["<code>", "</code>"]
        assert {token.type for token in tokens} <= {"text", "html_inline", "text_special"}
        middle = "".join(token.content for token in tokens if token.type in ("text", "text_special"))[2:-2]
        assert middle == (plain(text) if plain(text).strip() else " ")


@given(st.text(alphabet=st.one_of(st.sampled_from("`|\\<>[]()!@#*_~&;:/.- \n1"), st.characters())))
@example("https://evil.example")
@example("1. x")
@example("- x")
@example("`a` b `c")
def test_prose_has_no_markup(text: str) -> None:
    tokens = inline(f"x {prose(text)}")
    assert {token.type for token in tokens} <= {"text", "code_inline", "text_special", "html_inline", "entity"}
    assert {token.content for token in tokens if token.type == "html_inline"} <= {"<code>", "</code>"}
    lead = "".join(token.content for token in tokens if token.type in ("text", "text_special"))
    assert "@\u200b" in lead or "@" not in "".join(t.content for t in tokens if t.type == "text")


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_table_keeps_its_columns(first: str, second: str) -> None:
    tokens = PARSER.parse(f"| a | b |\n|---|---|\n| {code(first)} | {prose(second)} |\n")
    assert [token.type for token in tokens].count("td_open") == 2
    assert [token.type for token in tokens].count("tr_open") == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_plain_is_one_printable_line(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    assert len(shown) <= 400
    assert "##[" not in shown
    shown.encode("utf-8")


def test_links_are_percent_encoded() -> None:
    assert (
        target("https://h/blob/", "a b/(c)]#?%.yaml", (3, 9)) == "https://h/blob/a%20b/%28c%29%5D%23%3F%25.yaml#L3-L9"
    )
    assert target("https://h/blob", "x\ud800", (3, 3)) == "https://h/blob/x%ED%A0%80#L3"
    assert target("https://h/blob", "x") == "https://h/blob/x"


def test_no_spreadsheet_runs_a_cell() -> None:
    assert cell("=1+1") == "'=1+1"
    assert cell("::error::x") == "'::error::x"
    assert cell("a\nb") == "a\\nb"
    assert cell("frontend/web") == "frontend/web"
