"""The commands that keep personal data: `rekey`, `erase`, and what the doctor says of the keys."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy import Engine
from sqlmodel import select
from structlog.testing import capture_logs

import cli
from records.engine import migrate, open_engine, reading, writing
from records.queries import customer
from records.sealing import KeyRing
from records.tables import Customer, Request
from runtime.doctor import Verdict, _personal_data
from runtime.keys import key_ring, look_for_missing_keys
from runtime.settings import Settings
from tests.pure.builders import START
from tests.records.test_personal import take

OLD, INDEX = KeyRing.make("old").split(",")
NEW = KeyRing.make("new").split(",")[0]

Run = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERSALES_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("AFTERSALES_DATA_KEYS", f"{OLD},{INDEX}")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command: its exit code, and everything it said."""

    def ran(*arguments: str, keys: str = f"{OLD},{INDEX}") -> tuple[int, str]:
        monkeypatch.setenv("AFTERSALES_DATA_KEYS", keys)
        monkeypatch.setattr("sys.argv", ["aftersales", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield ran
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def records() -> Iterator[Engine]:
    settings = Settings(_env_file=None)
    engine = open_engine(settings.database, key_ring(settings))
    migrate(engine)
    yield engine
    engine.dispose()


def doctor(keys: str) -> tuple[Verdict, str]:
    finding = _personal_data(Settings(_env_file=None, data_keys=keys))  # type: ignore[arg-type]
    return finding.verdict, finding.found + finding.advice


def test_keys_are_rotated_while_the_doctor_watches(records: Engine, run: Run) -> None:
    take(records)
    both, new = f"{NEW},{OLD},{INDEX}", f"{NEW},{INDEX}"
    assert doctor(f"{OLD},{INDEX}") == (Verdict.ok, "sealed, and the key ring opens it")
    verdict, said = doctor(both)
    assert verdict is Verdict.advice
    assert "1 customers" in said
    assert "aftersales rekey" in said
    verdict, said = doctor(new)
    assert verdict is Verdict.failed
    assert "'old' is not in the ring" in said

    code, said = run("rekey", keys=new)
    assert code == 1
    assert "1 data keys do not open with this ring" in said
    assert run("rekey", keys=both) == (0, "1 data keys were wrapped anew.\n")
    assert run("rekey", keys=both) == (0, "0 data keys were wrapped anew.\n")
    assert doctor(new)[0] is Verdict.ok


@pytest.mark.parametrize(
    "ring",
    [KeyRing.make("old"), f"{OLD},{KeyRing.make('x').split(',')[1]}"],
    ids=["another key", "another index"],
)
def test_a_process_that_starts_with_another_ring_says_so(records: Engine, ring: str) -> None:
    with capture_logs() as before:
        look_for_missing_keys(records)
        take(records)
        look_for_missing_keys(records)
    other = open_engine(str(records.url), KeyRing.read(ring))
    with capture_logs() as lines:
        look_for_missing_keys(other)
    other.dispose()
    assert before == []
    (line,) = lines
    assert (line["event"], line["setting"]) == ("data_keys_do_not_open", "AFTERSALES_DATA_KEYS")


def test_a_customer_is_erased_once_it_is_confirmed(records: Engine, run: Run) -> None:
    number = take(records).number
    code, said = run("erase", number)
    assert code == 2
    assert "add --yes" in said
    code, said = run("erase", number, "--yes")
    assert code == 1
    assert f"not closed ({number})" in said
    with writing(records) as session:
        session.get_one(Request, number).closed_at = START
    assert customer(records, number) is not None
    code, said = run("erase", number, "--yes")
    assert code == 0
    assert f"Erased: the customer of {number}." in said
    assert "customer_erased" in said
    assert customer(records, number) is None
    with reading(records) as session:
        assert session.exec(select(Customer.erased_at)).one() is not None
    assert run("erase", number, "--yes") == (0, "The customer had been erased before.\n")
    code, said = run("erase", "CR20200101-001", "--yes")
    assert (code, said) == (1, "Error: There is no request CR20200101-001.\n")
