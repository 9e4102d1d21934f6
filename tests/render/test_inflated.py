"""Charts that a kustomization inflates (helmCharts): done where the config says so, and nothing else comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.render import cage, helm, kustomize, references
from bot.render.remote import Remotes
from tests.render.repository import CHART, DEPLOYMENT, files, needs_helm, needs_kustomize, run, write

ON = {".netreach.yml": "version: 1\nrender: {plugins: [helm]}\n"}
CONTENTS = {
    "o/kustomization.yaml": """\
namePrefix: p-
helmCharts:
  - name: shop
    releaseName: r
    namespace: shop
    valuesFile: v.yaml
    valuesInline: {app: web}
    includeCRDs: true
    skipTests: true
""",
    "o/v.yaml": "b: 1\napp: other\n",
    "o/charts/shop/Chart.yaml": CHART,
    "o/charts/shop/values.yaml": "c: 2\n",
    "o/charts/shop/values.schema.json": '{"required": ["never"]}',
    "o/charts/shop/crds/x.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: of-crds}\n",
    "o/charts/shop/templates/x.yaml": DEPLOYMENT.replace(
        "NAME", "'{{ .Values.app }}-{{ .Values.b }}-{{ .Values.c }}-{{ .Release.Name }}'"
    ),
    "o/charts/shop/templates/test.yaml": DEPLOYMENT.replace("{name: NAME,", "{name: test, annotations: {\n    helm.sh/hook: test},"),
}


@needs_kustomize
@needs_helm
def test_a_chart_beside_the_kustomization(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "render", write(tmp_path / "r", CONTENTS | ON))
    assert found.code == 0, found.err
    assert "name: p-web-1-2-r" in found.out
    assert "name: of-crds" in found.out
    assert "p-test" not in found.out
    assert ", from o/kustomization.yaml:2\n" in found.out
    # The chart is a part of the kustomization, and no environment of its own.
    assert "environment" not in found.out
    off = run(capsys, "render", write(tmp_path / "off", CONTENTS))
    assert off.code == 3
    assert "which needs --enable-helm and is not done unless render.plugins names helm" in off.err


@needs_kustomize
@needs_helm
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("releaseName: r", "releaseName: --post-renderer=/bin/sh", "has a name or a setting that is none"),
        ("namespace: shop", "namespace: --x", "has a name or a setting that is none"),
        ("namespace: shop", "apiVersions: [--x]", "has a name or a setting that is none"),
        ("- name: shop", "- name: ../../../etc", "has a name or a setting that is none"),
        ("- name: shop", "- name: gone", "it refers to o/charts/gone/Chart.yaml, which is not there"),
        ("- name: shop", "- name: link", "o/charts/link: a symbolic link that leaves the"),
        ("releaseName: r", "nameTemplate: r", "has no releaseName"),
        ("valuesFile: v.yaml", "valuesFile: ../../out.yaml", "which is outside of the repository"),
        ("valuesFile: v.yaml", "additionalValuesFiles: [/etc/passwd]", "which is outside of the repository"),
        ("valuesFile: v.yaml", "additionalValuesFiles: ['https://example.org/v.yaml']", "and nothing is fetched"),
        ("valuesFile: v.yaml", "ValuesFile: /etc/passwd", "is not spelled as Kustomize documents it"),
        ("valuesFile: v.yaml", "postRenderer: x", "has settings that are not passed on"),
        ("namePrefix: p-", "helmGlobals: {chartHome: /etc}", "is outside of the repository"),
        ("namePrefix: p-", "helmGlobals: {chartHome: ../..}", "is outside of the repository"),
        ("namePrefix: p-", "helmGlobals: {configHome: x}", "has settings that are not passed on"),
        ("namePrefix: p-", "generators: [g.yaml]", "has a HelmChartInflationGenerator of its own"),
        ("namePrefix: p-", "helmChartInflationGenerator: [{chartName: x, helmBin: /bin/sh}]", "use helmCharts"),
        ("- name: shop", "- name: shop\n    repo: https://example.org\n    version: 1.0.0", "nothing is fetched that render.remote does"),
    ],
)  # fmt: skip
def test_what_a_chart_may_try(tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, reason: str) -> None:
    text = CONTENTS["o/kustomization.yaml"]
    assert old in text
    plugin = "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: x}\nname: x\nchartHome: /etc\n"
    root = write(tmp_path / "r", CONTENTS | ON | {"o/kustomization.yaml": text.replace(old, new), "o/g.yaml": plugin})
    (root / "o/charts/link").symlink_to("/etc")
    found = run(capsys, "render", root, "--env", "o")
    assert found.code == 3
    assert reason in found.err
    assert "root:" not in found.out + found.err


@needs_kustomize
@needs_helm
def test_a_chart_that_asks_what_the_cluster_can_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asks = {"o/charts/shop/templates/y.yaml": "# {{ .Capabilities.KubeVersion }}\n"}
    assert run(capsys, "render", write(tmp_path / "r", CONTENTS | ON | asks)).code == 0
    if len(helm.tool() or []) > 1:
        text = CONTENTS["o/kustomization.yaml"] + "    kubeVersion: '1.30'\n"
        found = run(capsys, "render", write(tmp_path / "r", {"o/kustomization.yaml": text}))
        assert (found.code, "of which only helm on PATH can be told" in found.err) == (3, True)


@needs_kustomize
@needs_helm
def test_a_chart_that_calls_for_chance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: x-{{ uuidv4 }}, b: {{ now | date \"2006\" | quote }}}\n"
    found = run(capsys, "render", write(tmp_path / "r", CONTENTS | ON | {"o/charts/shop/templates/y.yaml": text}))
    assert (found.code, "  a: x-netreach-random\n" in found.out, '  b: "2000"\n' in found.out) == (0, True, True)


def test_helm_is_called_by_kustomize_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def told(command: list[str], *_: object, **__: object) -> bytes:
        seen.append(command)
        return b""

    monkeypatch.setattr(cage, "run", told)
    monkeypatch.setattr(helm, "tool", lambda: ["/bin/helm"])
    side = files(CONTENTS)
    remotes = Remotes(plugins=("helm",))
    kustomize.build(side, references.inputs(side, "o", remotes=remotes), "o", command=["kustomize", "build"])
    plain = files({"o/kustomization.yaml": "namePrefix: x"})
    kustomize.build(plain, references.inputs(plain, "o", remotes=remotes), "o", command=["kustomize", "build"])
    assert seen[0][-3:] == ["--enable-helm", "--helm-command", "/bin/helm"]
    assert not [word for command in seen for word in command if "plugins" in word or "exec" in word or "network" in word]
    assert "--enable-helm" not in seen[1]
