"""NP102: a policy of an API that the CNI does not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import ERROR, Draft, Rule
from bot.policies.cni_profiles import PROFILES

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP102",
    name="kind-unsupported",
    severity=ERROR,
    detects="A policy of a kind that the CNI does not enforce: Cilium's without Cilium, Calico's without Calico, "
    "admin policies where the CNI (in its version) has none; and kinds that no API is known to have.",
    why="Where the CRD is installed the object is stored and does nothing; where it is not, the cluster refuses "
    "it. Either way what it was to isolate stays open.",
    bad="""\
cni: cilium
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
""",
    fix="Write it in an API that the CNI enforces, or say in the config which CNI there is.",
)


def check(context: Context) -> Iterator[Draft]:
    """Every such policy."""
    profile = PROFILES[context.lowered.vocabulary.cni]
    if not any(cell.enforced for cell in profile.apis.values()):
        return
    for problem in context.problems:
        if not problem.path and problem.reason.startswith("no effect"):
            yield Draft(RULE, ERROR, problem.object, ("kind",), problem.reason)
        elif problem.path == ("kind",) and problem.refused:
            yield Draft(RULE, ERROR, problem.object, ("kind",), problem.reason, "a kind and version that there is")
