"""The settings, and how they reach the processes that `up` starts."""

from datetime import timedelta

import pytest
from pydantic import SecretStr, ValidationError

from runtime.settings import Settings
from runtime.up import environment


def test_our_own_processes_find_the_very_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings(
        _env_file=None,
        speed=60,
        token_secret=SecretStr("s" * 40),
        webhook_allow="erp.internal, 10.1.0.0/16",
        webhook_give_up=timedelta(hours=36, milliseconds=500),
    )
    for name, value in environment(given).items():
        monkeypatch.setenv(name, value)
    found = Settings(_env_file=None)
    moved = {"data_dir", "policy", "temporal_address", "log_format"}
    assert found.model_dump(exclude=moved) == given.model_dump(exclude=moved)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBHOOK_ALLOW", "10.1.0.1/16"),
        ("WEBHOOK_GIVE_UP", "5m"),
        ("WEBHOOK_GIVE_UP", "90d"),
        ("WEBHOOK_GIVE_UP", "soon"),
        ("DEPLOYMENT", "after.sales"),
        ("BUILD_ID", "two builds"),
    ],
)
def test_a_wrong_setting_is_found_at_the_start(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"AFTERSALES_{name}", value)
    with pytest.raises(ValidationError):
        Settings(_env_file=None)
