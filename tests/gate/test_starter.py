"""The first config: it can be read as it is and with every part of it in force, and nothing is overwritten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from bot import cli, starter
from bot.config import parse


def test_what_init_writes_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", str(tmp_path)]) == 0
    assert (tmp_path / ".github" / "workflows" / "netreach.yml").is_file()
    assert cli.main(["config", "check", str(tmp_path)]) == 0
    assert "fine: 0 environments" in capsys.readouterr().out
    assert cli.main(["init", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert cli.main(["init", str(tmp_path), "--force"]) == 0


def test_every_commented_part_is_valid_too() -> None:
    text = re.sub(r"^# (?=\w[\w-]*:$|  )", "", starter.CONFIG, flags=re.MULTILINE)
    found = parse("c.yml", text.encode())
    assert [rule.id for rule in found.rules] == ["no-internet-to-payments", "metrics-stay"]
    assert (len(found.allow), len(found.environments), found.assume.cni) == (1, 1, "kubernetes")
    assert found.include == ("k8s/**",)


def test_the_workflow_is_yaml_with_no_more_rights_than_needed() -> None:
    workflow = yaml.safe_load(starter.WORKFLOW)
    assert workflow["permissions"] == {}
    assert workflow["jobs"]["netreach"]["permissions"] == {"contents": "read", "pull-requests": "write"}


def test_config_check_tells_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yml").write_text("version: 1\nruels: []\n")
    assert cli.main(["config", "check", str(tmp_path / "c.yml")]) == 2
    assert "c.yml:2: unknown key 'ruels': did you mean rules?" in capsys.readouterr().err
    assert cli.main(["config", "check", str(tmp_path)]) == 2
    assert "netreach init writes one" in capsys.readouterr().err
