"""Personal data as people not entitled to it see it (service standard, section 4)."""

import re
from typing import Any

HIDDEN = "***"
WHO = frozenset(["name", "phone", "email", "address"])
SAID = frozenset(
    [
        "answer",
        "cause",
        "description",
        "fault",
        "follow_up",
        "note",
        "notes",
        "plan",
        "proof",
        "reason",
        "reference",
        "remark",
        "remedy",
        "signature",
        "test_result",
        "text",
    ]
)
"""Under these names requests, lines, forms and views hold what people wrote."""
PHONE = re.compile(
    r"(?<![A-Za-z0-9.])(?:\+?86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}(?![A-Za-z0-9]|\.\d)"
)
EMAIL = re.compile(r"[^\s@\"'<>=:,]+@[^\s@\"'<>,]+\.[A-Za-z]{2,}")


def mask_name(name: str) -> str:
    """`张三丰` → `张*`."""
    return f"{name[:1]}*"


def mask_phone(phone: str) -> str:
    """`138 1234 5678` → `138****5678`; short numbers keep only their last two digits."""
    digits = re.sub(r"\D", "", phone)
    if len(digits) < 8:
        return f"****{digits[-2:]}"
    return f"{digits[:-8]}****{digits[-4:]}"


def mask_email(email: str) -> str:
    """`zhang@example.com` → `z***@example.com`."""
    name, _, host = email.partition("@")
    return f"{name[:1]}***@{host}"


def mask_address(address: str) -> str:
    """`上海市浦东新区世纪大道1号` → `上海市浦东新区***`: at most the district is left."""
    district = re.match(r"^.{2,9}?(?:区|县)|^.{2,5}?市", address)
    return f"{district.group() if district else address[:2]}***"


def mask_text(text: str) -> str:
    """What a person wrote, without the mobile numbers and e-mail addresses in it."""
    return EMAIL.sub(HIDDEN, PHONE.sub(HIDDEN, text))


def forgotten(document: Any, name: str = "") -> Any:
    """A document of ours, in JSON types, without the customer and without what people wrote."""
    if isinstance(document, dict):
        if name == "customer":
            return {k: HIDDEN if k in WHO and v else v for k, v in document.items()}
        return {k: forgotten(v, k) for k, v in document.items()}
    if isinstance(document, list):
        return [forgotten(each, name) for each in document]
    return HIDDEN if name in SAID and isinstance(document, str) else document
