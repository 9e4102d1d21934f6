"""NP101: policies in a cluster whose CNI enforces none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import ERROR, Draft, Rule
from bot.policies.cni_profiles import PROFILES

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.snapshot import Object

RULE = Rule(
    id="NP101",
    name="cni-ignores-policy",
    severity=ERROR,
    detects="Policies where the CNI (of the config, or found by what the repository installs) enforces none: Flannel "
    "without its add-on, kubenet, the AWS VPC CNI with network policies switched off.",
    why="The API server takes the policies and nothing enforces them: every path is open, and everything looks "
    "as if it were not.",
    bad="""\
cni: flannel
""",
    fix="Install what enforces them (Calico, Cilium, kube-network-policies), or say in the config which CNI there is.",
)


def check(context: Context) -> Iterator[Draft]:
    """One finding for each namespace, at its first policy."""
    profile = PROFILES[context.lowered.vocabulary.cni]
    if any(cell.enforced for cell in profile.apis.values()):
        return
    by_namespace: dict[str, list[Object]] = {}
    for problem in context.problems:
        if not problem.path and problem.reason.startswith("no effect"):
            by_namespace.setdefault(problem.object.namespace, []).append(problem.object)
    for namespace, found in sorted(by_namespace.items()):
        what = words.count(len(found), "policy")
        where = f" of `{namespace}`" if namespace else " of the cluster"
        message = f"{profile.title} enforces no network policies: {what}{where} {'has' if len(found) == 1 else 'have'} no effect"
        yield Draft(RULE, ERROR, found[0], (), message, about=namespace)
