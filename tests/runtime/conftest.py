from collections.abc import Callable

import pytest

import cli
from tests.installation import Installation, installation

__all__ = ["installation"]

Refuses = Callable[..., str]


@pytest.fixture
def refuses(
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Refuses:
    """Run a command that must fail with one sentence, which is returned."""

    def run(*arguments: str, code: int = 1, **changes: str) -> str:
        for name, value in (installation.environment | changes).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.argv", ["aftersales", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert ended.value.code == code, said
        assert said.err.startswith("Error: ")
        assert said.err.count("\n") == 1
        assert not said.out
        return said.err

    return run
