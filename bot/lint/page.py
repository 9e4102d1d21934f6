"""What a rule says of itself in, its page as Markdown out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.lint.finding import Rule


def page(rule: Rule) -> str:
    """The page of one rule."""
    mended = " `netreach lint --fix` mends it where it is certain." if rule.fixable else ""
    parts = [
        f"# {rule.id}: {rule.name}",
        f"Severity: {rule.severity}{' at most' if rule.severity != 'info' else ''}.{mended}",
        f"**What it finds.** {rule.detects}",
        f"**Why it matters.** {rule.why}",
        f"```yaml\n{rule.bad.rstrip()}\n```",
        f"**What to do.** {rule.fix}",
    ]
    if rule.good:
        parts.append(f"```yaml\n{rule.good.rstrip()}\n```")
    ignored = f'netreach/ignore: "{rule.id}[reason]"'
    parts.append(
        f"To leave one as it is, say why: `# netreach: ignore[{rule.id}] reason` at the line, or the annotation `{ignored}`. "
        "[More on lint](../lint.md), [all rules](README.md)."
    )
    return "\n\n".join(parts) + "\n"


def shown(name: str) -> str:
    """The page of a rule by its id or name. Raises UsageError."""
    from bot.errors import UsageError
    from bot.lint import registry

    entry = registry.BY_ID.get(name.upper()) or registry.BY_NAME.get(name)
    if entry is None:
        raise UsageError(f"no rule {name}: {', '.join(one.id for one in registry.ENTRIES)}")
    return page(registry.rule(entry))
