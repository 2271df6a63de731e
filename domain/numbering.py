"""Numbers such as `CR20240520-001`: prefix, local day, and a serial from 001 that may grow."""

import re
from datetime import date
from enum import StrEnum

NUMBER = re.compile(r"(CR|WO|AP|OS|CS)([0-9]{8})-([0-9]{3,})")


class Prefix(StrEnum):
    """What a number counts (service standard, section 1)."""

    request = "CR"
    work_order = "WO"
    appointment = "AP"
    visit = "OS"
    survey = "CS"


def number(prefix: Prefix, day: date, serial: int) -> str:
    """The number of the `serial`-th form of its kind on a local `day`."""
    return f"{prefix}{day:%Y%m%d}-{serial:03d}"


def is_request_number(text: str) -> bool:
    """Whether `text` could be a service request's number."""
    return bool(NUMBER.fullmatch(text)) and text.startswith(Prefix.request)
