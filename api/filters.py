"""What every list can be asked: a page of so many, from here on, due before then."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from domain.values import Moment

_UNESCAPED_PLUS = re.compile(r"(T\S+) (\d\d:\d\d)$")


class Filters(BaseModel):
    """Filters of a list; one left blank is none, and an unknown one a mistake."""

    model_config = ConfigDict(extra="forbid")

    due_before: Moment | None = None
    cursor: str | None = Field(
        default=None, max_length=500, description="`next` of the page before."
    )
    limit: int = Field(default=50, ge=1, le=200)

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in given.items() if value != ""}

    @field_validator("due_before", mode="before")
    @classmethod
    def _with_its_plus(cls, moment: object) -> object:
        """A plus sign that nobody escaped arrives as a space: `…T09:00:00 08:00`."""
        return _UNESCAPED_PLUS.sub(r"\1+\2", moment) if isinstance(moment, str) else moment
