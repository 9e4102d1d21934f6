"""What Argo CD and Flux do before and after they render: their fields in, what reaches the cluster out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.render.model import Unusable
from bot.render.patching import patched
from tests.conftest import Git
from tests.render.repository import CHART, DEPLOYMENT, needs_helm, needs_kustomize, review, run, write
from tests.render.test_discovery import application, cluster, found, kustomization, release

CHILD = {
    "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
    "kind": "Kustomization",
    "metadata": {"name": "apps", "namespace": "flux-system", "labels": {"tier": "web"}},
    "spec": {"path": "./apps", "list": [1, 2], "inner": {"a": 1}},
}


def patch(text: str, target: str = "") -> list[dict[str, Any]]:
    return [{"patch": text, **({"target": yaml.safe_load(target)} if target else {})}]


# --- patches of Flux on its own objects ---


@pytest.mark.parametrize(
    ("text", "target", "spec"),
    [
        ("kind: Kustomization\nmetadata: {name: apps}\nspec: {list: [3], inner: {b: 2}}", "", {"list": [3], "inner": {"a": 1, "b": 2}}),
        ("kind: Kustomization\nmetadata: {name: other}\nspec: {list: [3]}", "", {}),
        ("spec: {path: null}", "{kind: Kustomization}", {"path": None}),
        ('[{"op": "replace", "path": "/spec/path", "value": "./b"}]', "{name: ap.*}", {"path": "./b"}),
        ('[{"op": "add", "path": "/spec/list/-", "value": 3}]', "{version: v1}", {"list": [1, 2, 3]}),
        ('[{"op": "remove", "path": "/spec/list/0"}]', "{namespace: flux-system}", {"list": [2]}),
        ('[{"op": "add", "path": "/spec/a~1b", "value": 3}]', "{group: kustomize.toolkit.fluxcd.io}", {"a/b": 3}),
        ("spec: {path: x}", "{name: ap}", {}),
        ("spec: {path: x}", "{labelSelector: 'tier in (web, db),!other'}", {"path": "x"}),
        ("spec: {path: x}", "{labelSelector: 'tier!=web'}", {}),
        ("spec: {path: x}", "{labelSelector: 'tier notin (web)'}", {}),
        ("spec: {path: x}", "{labelSelector: other=1}", {}),
        ("spec: {path: x}", "{labelSelector: tier, annotationSelector: '!x'}", {"path": "x"}),
        ("kind: X\nmetadata: {name: not-used}\nspec: {path: x}", "{kind: Kustomization}", {"path": "x"}),
    ],
)  # fmt: skip
def test_patches(text: str, target: str, spec: dict[str, Any]) -> None:
    value = patched(CHILD, patch(text, target))
    wanted = {key: part for key, part in {**CHILD["spec"], **spec}.items() if part is not None}  # type: ignore[dict-item]
    assert value == {**CHILD, "spec": wanted}
    assert CHILD["spec"] == {"path": "./apps", "list": [1, 2], "inner": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("[", "{kind: Kustomization}"),
        ('[{"op": "move", "from": "/spec", "path": "/x"}]', "{kind: Kustomization}"),
        ('[{"op": "replace", "path": "/spec/list/9", "value": 1}]', "{kind: Kustomization}"),
        ('[{"op": "add", "path": "/gone/x", "value": 1}]', "{kind: Kustomization}"),
        ("spec: {}", "{name: '['}"),
        ("spec: {}", "{labelSelector: 'a ~ b'}"),
    ],
)
def test_patches_that_are_not_understood(text: str, target: str) -> None:
    with pytest.raises(Unusable, match="patches"):
        patched(CHILD, patch(text, target))


def test_a_parent_changes_what_its_children_bring() -> None:
    patches = """\
  patches:
    - target: {kind: Kustomization, name: apps}
      patch: '[{"op": "replace", "path": "/spec/path", "value": "./apps/${stage}"}]'
    - target: {kind: Kustomization, name: gone}
      patch: '{$patch: delete, kind: Kustomization}'
    - target: {kind: HelmRelease}
      patch: '{spec: {values: {name: patched}}}'
  postBuild: {substitute: {stage: prod}}
"""
    contents = cluster("prod")
    contents["clusters/prod/flux-system/gotk-sync.yaml"] += patches
    contents |= {
        "clusters/prod/apps.yaml": kustomization("apps", "apps/dev") + kustomization("gone", "apps/dev") + release("web", "charts/web"),
        "apps/dev/x.yaml": DEPLOYMENT,
        # What only the patched path reaches is found in turn.
        "apps/prod/more.yaml": kustomization("deeper", "deep"),
        "deep/x.yaml": DEPLOYMENT,
        "charts/web/Chart.yaml": CHART,
    }
    roots, notes = found(contents)
    assert {root.name: root.path for root in roots} == {
        "flux-system": "clusters/prod",
        "apps": "apps/prod",
        "deeper": "deep",
        "web": "charts/web",
    }
    assert roots[-1].helm is not None
    assert roots[-1].helm.values == (("text", '{"name": "patched"}'),)
    assert notes == []
    contents["clusters/prod/flux-system/gotk-sync.yaml"] = contents["clusters/prod/flux-system/gotk-sync.yaml"].replace("replace", "move")
    _, notes = found(contents)
    assert "Kustomization flux-system: one of its patches is not understood; Kustomization apps is looked at without them" in notes[0]


# --- Flux after rendering ---


@needs_kustomize
@needs_helm
def test_post_renderers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = """\
  postRenderers:
    - kustomize:
        patches:
          - target: {kind: Deployment}
            patch: '[{"op": "add", "path": "/metadata/labels", "value": {"patched": "yes"}}]'
        images: [{name: x, newName: y, newTag: v2}]
    - kustomize:
        patches:
          - patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop, labels: {twice: done}}}'
"""
    contents = cluster("prod") | {
        "clusters/prod/web.yaml": release("web", "charts/web", more),
        "charts/web/Chart.yaml": CHART,
        "charts/web/templates/x.yaml": DEPLOYMENT.replace("NAME", "web"),
    }
    shown = run(capsys, "render", write(tmp_path / "r", contents))
    assert shown.code == 0, shown.err
    for text in ("patched: \"yes\"", "twice: done", "image: y:v2", ", from charts/web/templates/x.yaml:1\n"):
        assert text in shown.out
    for old, new, reason in (
        ("patch: '{apiVersion", "path: '/etc/passwd' # {", "is not rendered with helm: "),
        ("kustomize:\n        patches", "other: 1\n      kustomize:\n        patches", "with more than patches and images"),
        ("images:", "patchesStrategicMerge:", "with more than patches and images"),
    ):
        contents["clusters/prod/web.yaml"] = release("web", "charts/web", more.replace(old, new))
        shown = run(capsys, "render", write(tmp_path / "r", contents))
        assert (shown.code, reason in shown.err, "root:" in shown.out) == (3, True, False)


@needs_kustomize
def test_variables_from_secrets_are_told(git: Git, capsys: pytest.CaptureFixture[str]) -> None:
    more = "  postBuild: {substituteFrom: [{kind: Secret, name: cluster-secrets}], substitute: {A: b}}\n"
    text = DEPLOYMENT.replace("NAME", "web").replace("image: x", "image: '${REGISTRY}/${A}/$${B}'")
    git.commit(cluster("prod") | {"clusters/prod/apps.yaml": kustomization("apps", "apps", more), "apps/x.yaml": text})
    told = "apps: ${REGISTRY} stays as it is, for its value is in Secret cluster-secrets, not in the repository"
    assert told in run(capsys, "render", git.root).err
    git.run("checkout", "-q", "-b", "change")
    git.commit({"apps/x.yaml": text.replace("image:", "env: [{name: a, value: '${TOKEN}'}], image:")})
    shown = run(capsys, "diff", "main", "change", "--repo", git.root)
    assert "note: apps: ${REGISTRY}, ${TOKEN} stay as they are, for their values are in Secret cluster-secrets" in shown.out
    git.commit({"apps/x.yaml": text.replace("image:", "imagePullPolicy: Always, image:")})
    (environment,) = review(capsys, "main", "change", "--repo", git.root)["environments"]
    assert told in environment["remarks"]


# --- Argo CD ---


@needs_helm
def test_parameters_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "    helm: {fileParameters: [{name: a.b, path: files/one.txt}, {name: c, path: /two.txt}]}\n"
    template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: {{ .Values.a.b | quote }}, c: {{ .Values.c | quote }}}\n"
    contents = {
        "argo/a.yaml": application("a", "chart", more),
        "chart/Chart.yaml": CHART,
        "chart/templates/x.yaml": template,
        "chart/files/one.txt": "first, {with} more",
        "two.txt": "12",
    }
    root = write(tmp_path / "r", contents)
    shown = run(capsys, "render", root)
    assert shown.code == 0, shown.err
    assert 'a: "first, {with} more", c: "12"' in shown.out
    for path, reason in (
        ("../../../etc/passwd", "its parameter's file '../../../etc/passwd' is not of this repository"),
        ("https://example.org/x", "is not of this repository"),
        ("gone.txt", "its parameter's file chart/gone.txt is not there"),
        ("$other/x", "is of another repository"),
        ("passwd", "chart/passwd: a symbolic link that leaves the"),
        ("a,b=c", "its parameter's file chart/a,b=c is not there"),
    ):
        write(root, {"argo/a.yaml": application("a", "chart", more.replace("files/one.txt", f"'{path}'"))})
        if path == "passwd":
            (root / "chart/passwd").symlink_to("/etc/passwd")
        shown = run(capsys, "render", root)
        assert (shown.code, "root:" in shown.out + shown.err) == (3, False)
        assert reason in shown.err


def test_jsonnet_in_a_folder_is_told(git: Git, capsys: pytest.CaptureFixture[str]) -> None:
    git.commit({"argo/a.yaml": application("a", "apps"), "apps/x.yaml": DEPLOYMENT, "apps/y.jsonnet": "{}", "apps/z.libsonnet": "{}"})
    shown = run(capsys, "render", "--repo", git.root, "--ref", "main")
    assert "not read: apps/y.jsonnet: a: this file is Jsonnet, which is not run" in shown.err
    assert "name: NAME" in shown.out
    git.run("checkout", "-q", "-b", "change")
    git.commit({"apps/x.yaml": DEPLOYMENT.replace("NAME", "web")})
    (environment,) = review(capsys, "main", "change", "--repo", git.root)["environments"]
    assert [row["file"] for row in environment["coverage"]] == ["apps/y.jsonnet"]
    git.commit({"apps/y.jsonnet": "{a: 1}"})
    (environment,) = review(capsys, "main", "change", "--repo", git.root)["environments"]
    assert [row["file"] for row in environment["incomplete"]] == ["apps/y.jsonnet"]
