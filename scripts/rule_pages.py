#!/usr/bin/env python3
"""Writes docs/rules/*.md from what the lint rules say of themselves.

    python scripts/rule_pages.py            write them
    python scripts/rule_pages.py --check    exit 1 where one is missing, too many or not in step
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bot.lint import registry  # noqa: E402
from bot.lint.finding import Rule  # noqa: E402
from bot.lint.page import page  # noqa: E402

FOLDER = ROOT / "docs" / "rules"


def index(rules: list[Rule]) -> str:
    """The table of all of them."""
    rows = [
        f"| [{rule.id}]({rule.id}.md) | {rule.name} | {rule.severity} | {'yes' if rule.fixable else ''} | {_first(rule.detects)} |"
        for rule in rules
    ]
    head = [
        "# Lint rules",
        "",
        "Severities are the highest of each rule; a finding's own follows the evidence for it.",
        "",
    ]
    return "\n".join([*head, "| Rule | Name | Severity | `--fix` | What it finds |", "|---|---|---|---|---|", *rows]) + "\n"


def _first(text: str) -> str:
    """The first sentence, in a table's cell."""
    end = next((at for at in range(len(text)) if text.startswith(". ", at) and text[at + 2 :][:1].isupper()), len(text) - 1)
    return text[: end + 1].replace("|", "\\|")


def pages() -> dict[str, str]:
    """File name -> content of everything in docs/rules."""
    rules = registry.every()
    return {"README.md": index(rules), **{f"{rule.id}.md": page(rule) for rule in rules}}


def main(arguments: list[str]) -> int:
    """Write or check them."""
    wanted = pages()
    there = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.md")} if FOLDER.is_dir() else {}
    if "--check" in arguments:
        wrong = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
        for name in wrong:
            print(f"docs/rules/{name} is not in step with its rule: run scripts/rule_pages.py")
        return 1 if wrong else 0
    FOLDER.mkdir(exist_ok=True)
    for name in there.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
