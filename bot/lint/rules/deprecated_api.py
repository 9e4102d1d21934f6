"""NP080: an apiVersion that clusters no longer serve, or soon will not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import ERROR, WARNING, Draft, Edit, Rule

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.snapshot import Object

RULE = Rule(
    id="NP080",
    name="deprecated-api",
    severity=ERROR,
    detects="A policy of an API version that was removed (extensions/v1beta1, since Kubernetes 1.16) or is replaced "
    "(policy.networking.k8s.io/v1alpha1 by ClusterNetworkPolicy), and Calico objects of crd.projectcalico.org, which "
    "is its own store.",
    why="A cluster that does not serve the version refuses the manifest, and nothing is isolated. Objects "
    "written to Calico's own store are neither validated nor given defaults: without `types`, such a policy applies "
    "to both directions.",
    bad="""\
apiVersion: extensions/v1beta1
kind: NetworkPolicy
""",
    fix="Write the version that is served.",
    good="""\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
""",
    fixable=True,
)
_ADMIN = ("AdminNetworkPolicy", "BaselineAdminNetworkPolicy")
_CALICO = (
    *("NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy", "Tier"),
    *("NetworkSet", "GlobalNetworkSet", "HostEndpoint"),
)
_STORE = "crd.projectcalico.org/"


def check(context: Context) -> Iterator[Draft]:
    """Every policy of such a version."""
    for obj in context.snapshot.by_kind(*dict.fromkeys((*_CALICO, *_ADMIN))):
        yield from _of(obj)


def _of(obj: Object) -> Iterator[Draft]:
    at = ("apiVersion",)
    if obj.kind == "NetworkPolicy" and obj.api_version == "extensions/v1beta1":
        message = "Kubernetes removed `extensions/v1beta1` in 1.16: a cluster refuses this policy"
        yield Draft(RULE, ERROR, obj, at, message, "`networking.k8s.io/v1`", Edit("set", at, "networking.k8s.io/v1"))
    elif obj.kind in _ADMIN and obj.api_version == "policy.networking.k8s.io/v1alpha1":
        message = f"`{obj.kind}` of v1alpha1 is replaced by `ClusterNetworkPolicy`, and no later version has it"
        tier = "Baseline" if obj.kind.startswith("Baseline") else "Admin"
        yield Draft(
            RULE, WARNING, obj, at, message, f"`ClusterNetworkPolicy` with `tier: {tier}`, where the CNI has it"
        )
    elif obj.kind in _CALICO and obj.api_version.startswith(_STORE):
        message = f"`{obj.api_version}` is Calico's own store, where nothing is validated or given defaults"
        yield Draft(RULE, WARNING, obj, at, message, f"`projectcalico.org/v3`{_types(obj)}")


def _types(obj: Object) -> str:
    spec = obj.value.get("spec")
    if "Policy" in obj.kind and type(spec) is dict and not spec.get("types"):
        return ", with the `types` that are meant: here they are both, there they follow from the rules"
    return ""
