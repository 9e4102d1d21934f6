"""README.md in: every command whose output it shows prints exactly that."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.test_demo import demo

ROOT = Path(__file__).parent.parent
SHOWN = re.findall(r"^```console\n\$ (.*)\n([^`]*)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_config_and_expectations_of_the_docs_are_valid() -> None:
    from bot import config
    from bot.gate import expectations

    found = {}
    for name in ("config", "start", "cli", "rendering"):
        text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        found[name] = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert config.parse("config.md", found["config"][0].encode()).rules
    assert config.parse("rendering.md", found["rendering"][0].encode()).render.clusters
    for example in (found["start"][0], found["cli"][0]):
        assert expectations.parse("example", example.encode())


def test_every_link_within_the_docs_leads_somewhere() -> None:
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "fixtures" / "README.md"):
        for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readme_shows_outputs() -> None:
    assert [command.split()[:2] for command, _ in SHOWN] == [
        ["make", "demo"],
        ["netreach", "verify"],
        ["netreach", "explain"],
        ["netreach", "list"],
    ]


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=[command for command, _ in SHOWN])
def test_what_the_readme_shows_is_what_is_printed(
    command: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if command == "make demo":
        assert demo(tmp_path).stdout == output
        return
    from bot.cli import main

    monkeypatch.chdir(ROOT)
    main(shlex.split(command)[1:])
    assert capsys.readouterr().out == output
