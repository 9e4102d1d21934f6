"""Repositories in; which of their environments are rendered, how often, and what the review says of them, out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from bot.render import cage, helm, kustomize, references
from tests.conftest import Git
from tests.render.repository import CHART, DEPLOYMENT, files, needs_helm, needs_kustomize, review, run, write
from tests.render.test_discovery import application, cluster, kustomization, release

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: NAME}
spec:
  podSelector: {matchLabels: {app: NAME}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {app: CLIENT}}}]}]
"""


def deployment(name: str) -> str:
    return DEPLOYMENT.replace("NAME", name).replace(", namespace: shop", "")


def policy(name: str, client: str) -> str:
    return POLICY.replace("NAME", name).replace("CLIENT", client)


@pytest.fixture
def renders(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folder of every rendering that is done."""
    done: list[str] = []
    really = cage.run

    def counted(command: list[str], root: str, folder: str = ".", give: bytes = b"") -> bytes:
        chart = json.loads(give)["chart"] if give else command[3] if "template" in command else ""
        if "version" not in command:
            done.append(chart.rpartition("/tree/")[2] or folder)
        return really(command, root, folder, give=give)

    monkeypatch.setattr(cage, "run", counted)
    return done


# --- the same repository, written in three ways ---


@needs_kustomize
@needs_helm
def test_the_tutorial_is_the_same_in_three_ways(capsys: pytest.CaptureFixture[str]) -> None:
    def pairs(name: str, environment: str = "default") -> list[tuple[str, ...]]:
        (found,) = [one for one in reviews[name]["environments"] if one["name"] == environment]
        assert found["incomplete"] == []
        return [(row["from"], row["to"], json.dumps(row["before"]), json.dumps(row["after"])) for row in found["pairs"]]

    reviews = {
        name: review(capsys, "--dirs", FIXTURES / name / "base", FIXTURES / name / "head", "--pairs")
        for name in ("three-tier", "three-tier-kustomize", "three-tier-helm")
    }
    plain = pairs("three-tier")
    assert len(plain) == 5
    for place in ("dev", "staging", "prod"):
        assert pairs("three-tier-kustomize", f"overlays/{place}") == plain
        assert pairs("three-tier-helm", f"charts/shop (values-{place}.yaml)") == plain
    assert [len(one["environments"]) for one in reviews.values()] == [1, 3, 3]


@needs_helm
def test_a_value_that_is_not_set_opens_the_payment_service(capsys: pytest.CaptureFixture[str]) -> None:
    sides = ("--dirs", FIXTURES / "war-story" / "base", FIXTURES / "war-story" / "head")
    gate = ("--fail-on", "rule", "--fail-on", "lint-error")
    found = run(capsys, "diff", *sides, *gate, "--format", "markdown")
    assert found.code == 1
    headline = found.out.splitlines()[0]
    assert "blocked. NP014: `matchLabels` has no value because `.Values.appName` is not set" in headline
    assert "`default/web-frontend` and `default/payment` can now reach `default/payment` on TCP 8443" in headline
    assert "because .Values.appName is not set (charts/payments/templates/network-policy.yaml:16)" in found.out
    document = review(capsys, *sides, *gate)
    (environment,) = document["environments"]
    assert [new["rule"] for new in environment["lint"]["new"]] == ["NP014"]


# --- only what the change reaches, and that once ---

OVERLAYS = {
    "base/kustomization.yaml": "resources: [x.yaml]",
    "base/x.yaml": deployment("web") + "---\n" + policy("web", "client"),
    **{
        f"o/{name}/kustomization.yaml": f"resources: [../../base]\nnamespace: {name}\n"
        for name in ("dev", "prod", "test")
    },
}


@needs_kustomize
def test_only_what_changed_is_rendered(git: Git, capsys: pytest.CaptureFixture[str], renders: list[str]) -> None:
    git.commit(OVERLAYS)
    git.run("checkout", "-q", "-b", "change")
    git.commit({"o/dev/kustomization.yaml": OVERLAYS["o/dev/kustomization.yaml"] + "resources: []\n" * 0 + "# x\n"})
    found = review(capsys, "main", "change", "--repo", git.root)
    assert [one["name"] for one in found["environments"]] == ["o/dev"]
    assert renders == ["o/dev", "o/dev"]
    assert any("not touched by this change, and not looked at: o/prod, o/test" in note for note in found["notes"])


@needs_kustomize
def test_a_change_of_the_base_reaches_every_overlay(
    git: Git, capsys: pytest.CaptureFixture[str], renders: list[str]
) -> None:
    git.commit(OVERLAYS)
    git.run("checkout", "-q", "-b", "change")
    git.commit({"base/x.yaml": deployment("web")})
    found = review(capsys, "main", "change", "--repo", git.root)
    assert [one["name"] for one in found["environments"]] == ["o/dev", "o/prod", "o/test"]
    assert sorted(renders) == ["o/dev", "o/dev", "o/prod", "o/prod", "o/test", "o/test"]


@needs_kustomize
def test_nothing_is_rendered_for_what_does_not_matter(
    git: Git, capsys: pytest.CaptureFixture[str], renders: list[str]
) -> None:
    git.commit(OVERLAYS | {"README.md": "x"})
    git.run("checkout", "-q", "-b", "change")
    git.commit({"README.md": "y"})
    found = review(capsys, "main", "change", "--repo", git.root)
    assert (found["verdict"], renders) == ("pass", [])


@needs_helm
@pytest.mark.parametrize("files", [False, True])
def test_values_of_another_environment(
    git: Git, capsys: pytest.CaptureFixture[str], renders: list[str], files: bool
) -> None:
    text = deployment("{{ .Values.name }}") + ("# {{ .Files.Get .Values.note }}\n" if files else "")
    contents = {"chart/Chart.yaml": CHART, "chart/values.yaml": "{name: web, note: x}", "chart/templates/x.yaml": text}
    git.commit(
        contents | {"chart/values-dev.yaml": "a: 1\n", "chart/values-prod.yaml": "a: 1\n", "chart/README.md": "x"}
    )
    git.run("checkout", "-q", "-b", "change")
    git.commit({"chart/values-dev.yaml": "name: api\n", "chart/README.md": "y"})
    found = review(capsys, "main", "change", "--repo", git.root)
    # A template may show any file of its chart.
    assert [one["name"] for one in found["environments"]] == ["chart (values-dev.yaml)", "chart (values-prod.yaml)"][
        : 1 + files
    ]
    assert renders == ["chart"] * (4 if files else 2)


@needs_kustomize
def test_unchanged_roots_of_a_changed_cluster_are_rendered_once(
    git: Git, capsys: pytest.CaptureFixture[str], renders: list[str]
) -> None:
    contents = {f"apps/{name}/kustomization.yaml": "resources: [x.yaml]" for name in ("a", "b", "c")}
    contents |= {f"apps/{name}/x.yaml": deployment(name) for name in ("a", "b", "c")}
    contents |= {
        f"argo/{name}.yaml": application(name, f"apps/{name}").replace(f"namespace: {name}", "namespace: shop")
        for name in ("a", "b", "c")
    }
    git.commit(contents)
    git.run("checkout", "-q", "-b", "change")
    git.commit({"apps/a/x.yaml": deployment("a") + "---\n" + policy("a", "b")})
    found = review(capsys, "main", "change", "--repo", git.root, "--pairs")
    # Three Applications go to one cluster, and are one review: c is closed out by a policy that an other one brings.
    (environment,) = found["environments"]
    assert environment["name"] == "in-cluster"
    assert sorted(renders) == ["apps/a", "apps/a", "apps/b", "apps/c"]
    closed = {(row["from"], row["to"]) for row in environment["pairs"] if row["after"] == "none"}
    assert ("shop/c", "shop/a") in closed
    assert ("shop/b", "shop/a") not in closed


@needs_kustomize
def test_files_of_any_name_are_read_for_what_names_them(git: Git, capsys: pytest.CaptureFixture[str]) -> None:
    git.commit({"o/kustomization.yaml": "resources: [../base/]", "base/Kustomization": "resources: [x.manifest]"})
    git.commit({"base/x.manifest": deployment("web"), "o/.netreach-ignored": ""})
    found = run(capsys, "render", "--repo", git.root, "--ref", "HEAD")
    assert found.code == 0, found.err
    assert "# o (kustomize o):1, from base/x.manifest:1\n" in found.out


def test_rendering_is_off(git: Git, capsys: pytest.CaptureFixture[str], renders: list[str]) -> None:
    git.commit(
        OVERLAYS
        | {"chart/Chart.yaml": CHART, "chart/templates/x.yaml": "a: {{ .Values.a }}\napiVersion: v1\nkind: Pod\n"}
    )
    found = run(capsys, "render", git.root, "--render", "off")
    assert renders == []
    assert "# base/x.yaml:1\n" in found.out
    assert "rendering is off (--render)" in found.err
    assert (found.code, "chart/templates/x.yaml:1: unresolved templating" in found.err) == (3, True)
    git.commit({".netreach.yml": "version: 1\nenvironments: {prod: {render: {kustomize: o/prod}}}\n"})
    found = run(capsys, "render", git.root, "--render", "off")
    assert (found.code, renders) == (3, [])
    assert "prod is not rendered with kustomize: rendering is off" in found.err


@needs_kustomize
def test_files_elsewhere_in_a_config_map_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generators = "configMapGenerator:\n- name: x\n  files: [a=https://example.org/a, HTTP://example.org/b, c=x.yaml]\n"
    contents = {
        "o/kustomization.yaml": "resources: [../base]\n",
        "base/kustomization.yaml": f"resources: [x.yaml]\n{generators}",
    }
    found = run(capsys, "render", write(tmp_path, contents | {"base/x.yaml": deployment("web")}), "--env", "o")
    assert (found.code, "name: web" in found.out) == (0, True)


# --- the config ---


@needs_kustomize
@needs_helm
def test_several_renderings_are_one_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = """\
version: 1
environments:
  prod:
    paths: [plain/**]
    render:
      - kustomize: o/prod
      - helm: {chart: chart, release: r, namespace: prod, values: [v.yaml, w.yaml], set: {c: last}}
"""
    template = deployment("api").replace(
        "image: x", 'image: "{{ .Release.Name }}-{{ .Values.a }}-{{ .Values.b }}-{{ .Values.c }}"'
    )
    contents = OVERLAYS | {".netreach.yml": config, "plain/x.yaml": DEPLOYMENT.replace("NAME", "plain")}
    contents |= {
        "chart/Chart.yaml": CHART,
        "chart/templates/x.yaml": template,
        "v.yaml": "{a: 1, b: 1, c: 1}",
        "w.yaml": "b: 2",
    }
    found = run(capsys, "render", write(tmp_path, contents))
    assert found.code == 0, found.err
    assert 'image: "r-1-2-last"' in found.out
    names = [(value["metadata"]["name"], value["metadata"].get("namespace")) for value in yaml.safe_load_all(found.out)]
    assert sorted(names, key=str) == [("api", None), ("plain", "shop"), ("web", "prod"), ("web", "prod")]
    assert "2 of 2 roots rendered with helm" in found.err


def test_a_folder_that_the_config_names_wrongly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, reason in (
        ("gone", "gone is not there"),
        ("plain", "plain has no kustomization"),
        ("../out", "it is outside of the repository"),
    ):
        config = f"version: 1\nenvironments:\n  prod:\n    render: {{kustomize: {path}}}\n"
        found = run(capsys, "render", write(tmp_path, OVERLAYS | {".netreach.yml": config, "plain/x.yaml": "a: 1"}))
        assert found.code == 3
        assert f"not read: .netreach.yml:4: prod is not rendered with kustomize: {reason}" in found.err


# --- Flux, all the way ---


@needs_kustomize
@needs_helm
def test_a_flux_cluster_is_rendered_as_flux_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = """\
  targetNamespace: shop
  postBuild: {substitute: {client: web}}
  patches:
    - target: {kind: NetworkPolicy}
      patch: '[{"op": "replace", "path": "/metadata/name", "value": "patched"}]'
"""
    contents = cluster("prod") | {
        "clusters/prod/apps.yaml": kustomization("apps", "apps", more)
        + release("web", "charts/web", "  values: {name: front}\n"),
        "apps/api/x.yaml": deployment("api") + "---\n" + policy("api", "'${client}'"),
        "apps/extra/kustomization.yaml": "resources: [y.yaml]\nnamePrefix: extra-\n",
        "apps/extra/y.yaml": deployment("batch"),
        # Flux, unlike kustomize alone, takes files from outside of the folder.
        "clusters/prod/more.yaml": kustomization("more", "more"),
        "more/kustomization.yaml": "resources: [../shared/x.yaml]",
        "shared/x.yaml": deployment("shared"),
        "charts/web/Chart.yaml": CHART,
        "charts/web/templates/x.yaml": deployment("{{ .Values.name }}"),
        "charts/web/values.schema.json": '{"required": ["never"]}',
    }
    found = run(capsys, "render", write(tmp_path, contents))
    assert found.code == 0, found.err
    values = {(v["kind"], v["metadata"]["name"]): v for v in yaml.safe_load_all(found.out)}
    assert {key for key in values if key[0] in ("Deployment", "NetworkPolicy")} == {
        ("Deployment", "api"),
        ("NetworkPolicy", "patched"),
        ("Deployment", "extra-batch"),
        ("Deployment", "front"),
        ("Deployment", "shared"),
    }
    assert values["NetworkPolicy", "patched"]["metadata"]["namespace"] == "shop"
    (rule,) = values["NetworkPolicy", "patched"]["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app": "web"}}}]


# --- origins ---


@needs_kustomize
def test_origins_through_kustomize(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents = {
        "base/kustomization.yaml": "resources: [web.yaml]",
        "base/web.yaml": deployment("web") + "---\n" + policy("web", "client"),
        "o/kustomization.yaml": "resources: [../base]\nnamespace: shop\npatches:\n  - path: patch.yaml\n",
    }
    patch = (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web}\nspec:\n"
        "  ingress:\n    - from:\n        - namespaceSelector: {}\n"
    )
    base = write(tmp_path / "base", contents | {"o/patch.yaml": patch.replace("namespaceSelector", "podSelector")})
    head = write(tmp_path / "head", contents | {"o/patch.yaml": patch})
    (environment,) = review(capsys, "--dirs", base, head)["environments"]
    causes = {(cause["file"], tuple(cause["lines"])) for row in environment["changes"] for cause in row["causes"]}
    assert causes == {("o/patch.yaml", (7, 7))}
    write(tmp_path / "head", contents | {"o/patch.yaml": patch.replace("namespaceSelector", "podSelector")})
    write(
        tmp_path / "head", {"base/web.yaml": deployment("web").replace("containers:", "hostNetwork: true, containers:")}
    )
    (environment,) = review(capsys, "--dirs", base, head)["environments"]
    assert {cause["file"] for row in environment["changes"] for cause in row["causes"]} == {"base/web.yaml"}


@needs_helm
@pytest.mark.parametrize(
    ("base", "head", "place"),
    [
        ("client: web", "client: api", ("chart/values.yaml", [2, 2])),
        ("open: false", "open: true", ("chart/values.yaml", [3, 3])),
        ("app: {{ .Values.client }}", "team: {{ .Values.client }}", ("chart/templates/policy.yaml", [10, 12])),
    ],
)
def test_origins_through_helm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], base: str, head: str, place: tuple[str, list[int]]
) -> None:
    template = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: db
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app: {{ .Values.client }}
    {{- if .Values.open }}
    - from:
        - namespaceSelector: {}
    {{- end }}
"""
    contents = {
        "chart/Chart.yaml": CHART,
        "chart/values.yaml": "# what may reach it\nclient: web\nopen: false\n",
        "chart/templates/policy.yaml": template,
        "chart/templates/db.yaml": deployment("db"),
    }
    old = write(tmp_path / "base", contents)
    new = write(tmp_path / "head", {path: text.replace(base, head) for path, text in contents.items()})
    (environment,) = review(capsys, "--dirs", old, new)["environments"]
    places = [
        (cause["file"], cause["lines"])
        for row in environment["changes"]
        for cause in row["causes"]
        if cause["side"] == "head"
    ]
    assert place in places


@needs_helm
@pytest.mark.parametrize(
    ("template", "values", "told"),
    [
        ("  podSelector:\n    matchLabels: {{ toYaml .Values.labels }}", "labels: {}", "spec.podSelector.matchLabels is empty and selects everything, because .Values.labels is not set (t/p.yaml:6)"),  # noqa: E501
        ("  podSelector:\n    matchLabels:\n      app: {{ .Values.app.name }}", "app: {}", "spec.podSelector.matchLabels.app is empty, because .Values.app.name is not set (t/p.yaml:7)"),  # noqa: E501
        ("  podSelector:\n    matchLabels:\n      {{- with .Values.labels }}\n      {{- toYaml . | nindent 6 }}\n      {{- end }}", "a: 1", "because .Values.labels is not set (t/p.yaml:7)"),  # noqa: E501
        ("  podSelector: {}", "a: 1", None),
        ("  podSelector:\n    matchLabels:\n      app: {{ .Values.app }}", "app: x", None),
    ],
)  # fmt: skip
def test_values_that_are_not_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], template: str, values: str, told: str | None
) -> None:
    text = f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec:\n{template}\n"
    found = run(
        capsys, "render", write(tmp_path, {"Chart.yaml": CHART, "values.yaml": values, "templates/p.yaml": text})
    )
    if told is None:
        assert "is not set" not in found.err
    else:
        assert told.replace("t/p.yaml", "templates/p.yaml") in found.err


# --- as the tools print it ---


@needs_kustomize
def test_objects_are_as_kustomize_prints_them() -> None:
    contents = OVERLAYS | {
        "o/dev/cm.env": "A=1\n",
        "o/dev/more.yaml": policy("more", "x").replace("{name: more}", "\n  name: more\n  annotations: {a: b}"),
    }
    contents["o/dev/kustomization.yaml"] += "configMapGenerator: [{name: c, envs: [cm.env]}]\n"
    contents["o/dev/kustomization.yaml"] = contents["o/dev/kustomization.yaml"].replace(
        "[../../base]", "[../../base, more.yaml]"
    )
    assert _kustomize(contents, "o/dev") == _kustomize(contents, "o/dev", asked=False)


def _kustomize(contents: Mapping[str, str], folder: str, asked: bool = True) -> str:
    side = files(contents)
    used = references.inputs(side, folder)
    if asked:
        out, traced = kustomize.build(side, used, folder)
        assert traced
        return "---\n".join(text for text, _ in kustomize.untraced(out, folder))
    command = kustomize.tool()
    assert command is not None
    with cage.copy(side.contents, {}) as root:
        return cage.run([*command, "."], root, folder).decode()


@needs_helm
@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH")
def test_helm_and_the_library_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    from bot.render.model import Helm

    contents = {
        str(path.relative_to(FIXTURES / "three-tier-helm" / "head")): path.read_text()
        for path in sorted((FIXTURES / "three-tier-helm" / "head").rglob("*"))
        if path.is_file()
    }
    side, options = files(contents), Helm("shop", (("file", "charts/shop/values-prod.yaml"),))
    used = helm.inputs(side, "charts/shop", options)
    first = helm.template(side, used, "charts/shop", options, "default")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    second = helm.template(side, used, "charts/shop", options, "default", helm.tool())
    assert sorted(map(str, first)) == sorted(map(str, second))
