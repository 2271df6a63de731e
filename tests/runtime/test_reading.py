"""Whoever reads the archive at the command line is written down first, or reads nothing."""

import os
import pwd
from pathlib import Path

import pytest
from sqlalchemy import Engine

from records.access_log import reads
from tests.runtime.test_personal import Run, keys, records, run

__all__ = ["keys", "records", "run"]

NUMBER = "CR20261101-001"


def test_the_user_of_the_system_is_written_down(
    records: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("USER", "somebody-else")
    run("audit", "verify", NUMBER)
    run("audit", "verify", "--month", "2026-11")
    run("audit", "mine", "--month", "2026-11")
    run("audit", "mine", "--since", "2026-11-01T00:00+00:00")
    since, mined, month, one = reads(records).items
    assert (mined.what, mined.about) == ("audit mine", "2026-11")
    assert since.about == "2026-11-01T00:00:00+00:00/.."
    assert (one.what, one.number, one.about) == ("audit verify", NUMBER, None)
    assert (month.what, month.number, month.about) == ("audit verify", None, "2026-11")
    assert (one.role, one.who) == ("operator", pwd.getpwuid(os.getuid()).pw_name)


def test_a_rehearsal_is_written_down_before_the_server_is_asked(
    records: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERSALES_TEMPORAL_ADDRESS", "127.0.0.1:1")
    run("audit", "replay", "--sample", "20", "--since", "2026-11-01T00:00+00:00")
    run("audit", "replay", "--offline")
    (row,) = reads(records).items
    assert (row.what, row.about) == ("audit replay", "20 runs since 2026-11-01T00:00:00+00:00")


def test_without_a_log_nothing_is_read(tmp_path: Path, run: Run) -> None:
    mine = ("mine", "--month", "2026-11")
    for command in (("verify", NUMBER), ("show", NUMBER), ("export", NUMBER), ("replay",), mine):
        code, said = run("audit", *command)
        assert code == 1
        assert "The access log cannot be written" in said
    assert not (tmp_path / "aftersales.db").exists()
    code, said = run("audit", "verify", NUMBER, "--offline")
    assert code == 1
    assert "in no access log" in said
    assert "manifest_missing" in said
    assert not (tmp_path / "aftersales.db").exists()


@pytest.mark.parametrize("command", ["verify", "show", "export"])
def test_what_is_no_number_is_refused(run: Run, command: str) -> None:
    for word in ("nonsense", "CR20261120", "CR20261120-001;x", "工单"):
        code, told = run("audit", command, word)
        assert code == 2
        assert f"{word!r} is not a request's number; write CR20261120-001" in told
