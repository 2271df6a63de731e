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


def test_who_only_reads_makes_no_key(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = ("--month", "2026-11", "--offline")
    code, said = run("audit", "key")
    assert (code, "There is no signing key here" in said) == (1, True)
    code, said = run("audit", "verify", *month)
    assert (code, "give --public-key" in said) == (1, True)
    for command in (("verify", *month), ("mine", *month), ("replay", "--offline")):
        code, said = run("audit", *command, keys="")
        assert (code, "There is no key ring here" in said) == (1, True)
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("key", ["abc", "鑰匙", "AAAA"])
def test_what_is_no_public_key_is_refused(run: Run, key: str) -> None:
    code, said = run("audit", "verify", "--month", "2026-11", "--public-key", key)
    assert (code, "is not a public key" in said) == (2, True)


def test_a_number_that_nobody_knows_is_no_fault_of_the_archive(records: Engine, run: Run) -> None:
    code, said = run("audit", "verify", NUMBER)
    assert (code, "manifest_missing" in said) == (1, False)
    assert f"Neither the records nor the archive know of a request {NUMBER}" in said
