"""Charts that make values by chance: two renderings are alike, and no path comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.render import chance
from bot.render.cage import Failed
from bot.render.chance import PLACEHOLDER, Called, called, fixed, steady
from tests.conftest import Git
from tests.render.repository import CHART, DEPLOYMENT, needs_helm, review, run, write

SOURCE = Called("randAlphaNum", "t.yaml", 1)
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: s}
stringData:
  a: {{ randAlphaNum 20 | quote }}
  b: x-{{ uuidv4 }}-y
  {{- $ca := genCA "ca" 1 }}
  c: {{ $ca.Cert | b64enc }}
  d: {{ now | unixEpoch }}-{{ now | date "2006" }}-{{ randInt 0 2 }}
  e: {{ htpasswd "now" "x" }}
  f: |
    {{- $ca.Key | nindent 4 }}
"""


def made(*texts: str) -> str:
    given = iter(texts)
    return steady(lambda: [(next(given), "t.yaml")], SOURCE)[0][0]


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (("a: x\nb: 1\n",) * 3, "a: x\nb: 1\n"),
        (("a: Ab1+/=\n", "a: cD2\n", "a: xx\n"), f"a: {PLACEHOLDER}\n"),
        (("name: job-a1\n", "name: job-b2\n", "name: job-c3\n"), f"name: job-{PLACEHOLDER}\n"),
        (("a-1: {x: [y-1, z]}\n", "a-2: {x: [y-2, z]}\n", "a-3: {x: [y-3, z]}\n"), f"a-{PLACEHOLDER}: {{x: [y-{PLACEHOLDER}, z]}}\n"),
        (("a: 'x y'\n", "a: xy\n", "a: x\n"), f"a: {PLACEHOLDER}\n"),
        (("kind: Secret\na: |\n  x\n", "kind: Secret\na: |\n  x\n  y\n", "kind: Secret\na: |\n  z\n"), "kind: Secret\na: |\n"),
    ],
)  # fmt: skip
def test_what_differs_has_a_placeholder(texts: tuple[str, ...], wanted: str) -> None:
    assert made(*texts) == wanted


def test_objects_that_differ_themselves_are_not_rendered() -> None:
    with pytest.raises(Failed, match=r"other objects each time \(randAlphaNum in t\.yaml\)"):
        made("kind: Pod\na: 1\n", "kind: Pod\n", "kind: Pod\n")
    given = iter([[("a", "x")], [("a", "x"), ("b", "y")], [("a", "x")]])
    with pytest.raises(Failed, match="other objects each time"):
        steady(lambda: list(next(given)), SOURCE)


def test_where_chance_is_called_for() -> None:
    assert called({"c/templates/x.yaml": b"a: 1\n{{ $x := randAlphaNum 5 }}"}) == Called("randAlphaNum", "c/templates/x.yaml", 2)
    assert called({"c/templates/x.yaml": b"# randAlphaNum\nmyrandAlphaNum: {{ .Values.x }}", "c/values.yaml": b"{{ uuidv4 }}"}) is None


def test_time_is_fixed() -> None:
    text = b'now {{ now | date "now" }} {{ .now }} {{ $now := (now) }} {{ randInt 3 9 }} {{ snow }}'
    day = b'(toDate "2006-01-02" "2000-01-01")'
    wanted = b'now {{ %b | date "now" }} {{ .now }} {{ $now := (%b) }} {{ (int 3) }} {{ snow }}' % (day, day)
    assert fixed({"c/templates/x": text, "c/x": text}) == {"c/templates/x": wanted, "c/x": text}


@needs_helm
def test_a_chart_is_the_same_each_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents = {"chart/Chart.yaml": CHART, "chart/templates/s.yaml": SECRET.replace("Secret", "ConfigMap").replace("stringData", "data")}
    first, second = (run(capsys, "render", write(tmp_path / "r", contents)) for _ in range(2))
    assert first == second
    assert first.code == 0, first.err
    assert f"  a: \"{PLACEHOLDER}\"\n  b: x-{PLACEHOLDER}-" in first.out
    assert "  d: 946684800-2000-0\n" in first.out
    assert f"shop: 1 object has values that are made by chance each time it is rendered: {PLACEHOLDER} stands for them" in first.err


@needs_helm
def test_no_path_comes_of_chance(git: Git, capsys: pytest.CaptureFixture[str]) -> None:
    text = DEPLOYMENT.replace("NAME", "web").replace("{app: web}}\n    spec", "{app: web, run: 'x{{ randAlphaNum 9 }}'}}\n    spec")
    policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\n"
    policy += "spec: {podSelector: {matchLabels: {run: x}}}\n"
    contents = {"chart/Chart.yaml": CHART, "chart/templates/x.yaml": text, "chart/templates/s.yaml": SECRET, "chart/values.yaml": "a: 1\n"}
    git.commit(contents | {"chart/templates/p.yaml": policy})
    git.run("checkout", "-q", "-b", "change")
    git.commit({"chart/values.yaml": "a: 2\n"})
    found = review(capsys, "main", "change", "--repo", git.root)
    (environment,) = found["environments"]
    assert (found["verdict"], environment["changes"], environment["incomplete"]) == ("pass", [], [])
    assert any("made by chance" in remark for remark in environment["remarks"])
    assert chance.RENDERINGS > 1
