"""What the courier asks of a provider, and how one says that it could not."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol

from activities.messages import Language, Text

Address = Literal["email", "phone", "id"]


@dataclass(frozen=True)
class Message:
    """One message on its way, or a digest of several.

    Attributes:
        id: the same whenever it is sent again.
        numbers: the requests it is about.
        to_id: the engineer's id; None: everyone of the role, or the customer of the request.
        name: which text (`activities/messages.py`), or `digest`.
        to: the recipients' addresses, opened for this provider alone; they are never shown.
    """

    id: str
    numbers: tuple[str, ...]
    to_role: str
    to_id: str | None
    channel: str
    name: str
    language: Language
    text: Text = field(repr=False)
    to: tuple[str, ...] = field(default=(), repr=False)


class NotSent(Exception):
    """A provider did not take a message.

    Args:
        reason: a short word of ours (`timeout`, `smtp_550`), never the provider's own: they may
            quote an address.
        for_good: trying this provider again would not help.
        down: the provider is in trouble, not this one message.
        retry_after: how long the provider asked us to wait.
    """

    def __init__(
        self,
        reason: str,
        *,
        for_good: bool = False,
        down: bool = False,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.for_good, self.down = reason, for_good, down
        self.retry_after = retry_after


class Provider(Protocol):
    """A way out; called from several threads at once."""

    @property
    def address(self) -> Address | None:
        """What it reaches people by; None: it needs no address, and gets nothing personal."""

    def send(self, message: Message) -> str | None:
        """Send it. Returns the provider's own id of it, if it gives one.

        It must give up by itself: a thread cannot be stopped from outside.

        Raises:
            NotSent: it was not taken.
        """

    def check(self) -> None:
        """See whether it answers, without sending anything.

        Raises:
            NotSent: it does not.
        """
