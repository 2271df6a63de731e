"""Everything that Apprise knows: DingTalk, WeCom, Feishu, app push and a hundred more."""

import logging
from typing import Any
from urllib.parse import quote

from activities.providers.port import Address, Message, NotSent

PLACE = "{to}"
"""Where a URL names whom to reach; a URL without it always reaches the same people."""


class AppriseMissing(ImportError):
    """The optional extra is not installed."""


class AppriseProvider:
    """Notifies through a URL of Apprise's, such as `dingtalk://TOKEN/`.

    Args:
        url: with `{to}` where the recipient's address belongs, if it reaches one person each.
        address: what stands for `{to}`.

    Raises:
        AppriseMissing: install the extra `apprise`.
        ValueError: Apprise does not know such a URL.
    """

    def __init__(self, *, url: str, address: Address) -> None:
        try:
            import apprise
        except ImportError:
            raise AppriseMissing("install it with `pip install aftersales[apprise]`") from None
        # It would log the URL, tokens and all, and what the service answered.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        logging.getLogger("urllib3").setLevel(logging.WARNING)
        self._apprise: Any = apprise
        self.address: Address | None = address if PLACE in url else None
        self._url = url
        if not apprise.Apprise().add(url.replace(PLACE, "13800000000")):
            raise ValueError("Apprise does not know such a URL")

    def send(self, message: Message) -> None:
        """Notify everyone whom the URL reaches."""
        outlet = self._apprise.Apprise()
        for to in message.to or ("",):
            outlet.add(self._url.replace(PLACE, quote(to, safe="")))
        # It says only yes or no.
        if not outlet.notify(body=message.text.body, title=message.text.subject):
            raise NotSent("apprise", down=True)

    def check(self) -> None:
        """Apprise can only send; its URL was read when this was made."""
