"""netpol-analyzer's own tests, pair by pair, after its conventions are translated (`peer_edges.py`).

They are not ours to distribute: without the file (see `corpora.netpol_analyzer`) these tests are skipped. Cases where
the specification is on our side are in tables here, each with its reason (docs/evaluation.md); no case is compared loosely.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main
from tests.corpora import netpol_analyzer, netpol_analyzer_cases
from tests.peer_edges import Edges, ours_diffed, ours_listed, theirs_diffed, theirs_listed

pytestmark = pytest.mark.skipif(
    netpol_analyzer() is None, reason="netpol-analyzer.jsonl.gz is not here; $NETREACH_NETPOL_ANALYZER_CORPUS names it"
)
LISTS, DIFFS = netpol_analyzer_cases("list"), netpol_analyzer_cases("diff")
ADMIN = {"AdminNetworkPolicy", "BaselineAdminNetworkPolicy"}

# Objects that an API server refuses and netpol-analyzer reads: id -> workload, what is wrong with it. They are not there for
# netreach, which names them; everything else of the case must agree.
REFUSED = {
    "netpol_named_port_test_2": ("helloworld/pod-a[Deployment]", "containerPort is missing"),
}


def _without_admin(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [case for case in cases if ADMIN.isdisjoint(case["policy_kinds"])]


def _with_admin(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [case for case in cases if not ADMIN.isdisjoint(case["policy_kinds"])]


def _id(case: Mapping[str, Any]) -> str:
    return str(case["id"])


def _write(folder: Path, files: Mapping[str, str], host_network: bool) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if host_network else _without_host_network(text), encoding="utf-8")
    return folder


def _without_host_network(text: str) -> str:
    """netpol-analyzer does not know hostNetwork: it takes such pods for ordinary ones. So compare what it looks at."""
    return re.sub(r'hostNetwork"?: true', lambda found: found[0].replace("true", "false"), text)


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code = main([*arguments, "--cni", "kubernetes", "--pod-cidrs", "none", "--format", "json", "--quiet"])
    printed = capsys.readouterr()
    assert printed.out, (code, printed.err)
    document: dict[str, Any] = json.loads(printed.out)
    return document


def _same(ours: Edges, theirs: Edges) -> None:
    for name, mine, wanted in zip(Edges._fields, ours, theirs, strict=True):
        wrong = {key: (mine.get(key), wanted.get(key)) for key in {*mine, *wanted} if mine.get(key) != wanted.get(key)}
        assert not wrong, f"{name}: (ours, theirs) differ at {len(wrong)} edges: {sorted(wrong.items())[:3]}"


def _list(case: Mapping[str, Any], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _run(capsys, "list", str(_write(folder, case["files"], False)))
    theirs = theirs_listed(case)
    if case["id"] in REFUSED:
        workload, reason = REFUSED[case["id"]]
        assert any(reason in unread["reason"] for unread in document["incomplete"])
        theirs = _without(theirs, {workload})
    _same(ours_listed(document), theirs)


def _without(edges: Edges, workloads: set[str]) -> Edges:
    return Edges(
        {ends: value for ends, value in edges.pods.items() if workloads.isdisjoint(ends)},
        {ends: value for ends, value in edges.addresses.items() if workloads.isdisjoint(ends)},
    )


def _diff(case: Mapping[str, Any], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, head = _write(folder / "base", case["base"], False), _write(folder / "head", case["head"], False)
    document = _run(capsys, "diff", "--dirs", str(base), str(head), "--pairs", "--exit-zero")
    listed = [_run(capsys, "list", str(side)) for side in (base, head)]
    _same(ours_diffed(document, *listed), theirs_diffed(case))


@pytest.mark.parametrize("case", _without_admin(LISTS), ids=_id)
def test_list(case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _list(case, tmp_path, capsys)


@pytest.mark.parametrize("case", _without_admin(DIFFS), ids=_id)
def test_diff(case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _diff(case, tmp_path, capsys)


@pytest.mark.parametrize("case", _with_admin(LISTS), ids=_id)
def test_list_with_admin_policies(case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _list(case, tmp_path, capsys)


@pytest.mark.parametrize("case", _with_admin(DIFFS), ids=_id)
def test_diff_with_admin_policies(case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _diff(case, tmp_path, capsys)


@pytest.mark.parametrize("case", [c for c in LISTS if "hostNetwork" in str(c["files"])], ids=_id)
def test_host_network_pods_are_all_that_differs(
    case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With hostNetwork as it stands: edges of other workloads agree, and no policy for pods closes those of such a pod.

    Such a pod possibly is on the node of another, which its own node always reaches.
    """
    document = _run(capsys, "list", str(_write(tmp_path, case["files"], True)))
    unsure = [path for path in document["paths"] if path.get("certainty") == "possible"]
    assert all("host network" in document["endpoints"][path["from"]].get("note", "") for path in unsure)
    document["paths"] = [path for path in document["paths"] if path not in unsure]
    hosts = {
        f"{facts['namespace']}/{facts['name']}[{facts['kind']}]"
        for facts in document["endpoints"].values()
        if "host network" in facts.get("note", "")
    }
    assert hosts
    ours, theirs = ours_listed(document), theirs_listed(case)
    _same(_without(ours, hosts), _without(theirs, hosts))
    assert all((host, "to") in ours.addresses and (host, "from") in ours.addresses for host in hosts)
