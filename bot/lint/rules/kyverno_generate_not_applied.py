"""NP130: a Kyverno rule that generates nothing for what is there already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint.finding import INFO, Draft, Path, Rule
from bot.manifests.kyverno import POLICY_KINDS
from bot.manifests.kyverno.lifecycle import ONLY_NEW

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP130",
    name="kyverno-generate-not-applied",
    severity=INFO,
    detects="A new or changed generate rule of Kyverno without `generateExisting`, where what triggers it is there "
    "already.",
    why="Such a rule is applied to what is created later. The namespaces that exist get no policy from it, and "
    "stay as open as they are.",
    bad="""\
generate:
  apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  name: default-deny
""",
    fix="Set `generateExisting: true` on the rule.",
    good="""\
generate:
  generateExisting: true
  apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  name: default-deny
""",
)


def check(context: Context) -> Iterator[Draft]:
    """Each such rule, as the simulation of Kyverno tells it (bot/manifests/kyverno/lifecycle.py)."""
    told = {(note.file, note.lines): note.text for note in context.snapshot.notes if note.text.endswith(ONLY_NEW)}
    if not told:
        return
    for obj in context.snapshot.by_kind(*POLICY_KINDS):
        for path in _rules(obj.value):
            text = told.get(context.snapshot.location(obj, path))
            if text is not None:
                yield Draft(RULE, INFO, obj, path, text)


def _rules(value: Any) -> Iterator[Path]:
    spec = value.get("spec")
    for field in ("rules", "generate"):
        listed = spec.get(field) if type(spec) is dict else None
        for number in range(len(listed) if type(listed) is list else 0):
            yield ("spec", field, number)
    yield ("spec",)
