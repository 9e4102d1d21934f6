"""NP081 proposes the word that the API in question has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.cli import main


@pytest.mark.parametrize(
    ("version", "kind", "tier", "action", "fix"),
    [
        ("v1alpha2", "ClusterNetworkPolicy", "tier: Admin, ", "Allow", "`Accept`"),
        ("v1alpha2", "ClusterNetworkPolicy", "tier: Admin, ", "deny", "`Deny`"),
        ("v1alpha1", "AdminNetworkPolicy", "", "Accept", "`Allow`"),
        ("v1alpha1", "AdminNetworkPolicy", "", "Drop", "Write one of the words that the API has."),
    ],
)
def test_the_action_of_an_admin_policy(
    version: str, kind: str, tier: str, action: str, fix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = f"{{{tier}priority: 1, subject: {{namespaces: {{}}}}, egress: [{{action: {action}, to: [{{namespaces: {{}}}}]}}]}}"
    text = f"apiVersion: policy.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: p}}\nspec: {spec}\n"
    (tmp_path / "p.yaml").write_text(text)
    main(["lint", str(tmp_path), "--format", "json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [finding["fix"] for finding in findings if finding["rule"] == "NP081"] == [fix]
