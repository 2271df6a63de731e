"""E-mail through an SMTP server."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.utils import format_datetime, localtime, parseaddr
from pathlib import Path
from typing import Literal

from activities.providers.port import Message, NotSent


class SmtpProvider:
    """Sends each message as one mail, as text and as simple HTML.

    Args:
        sender: the From line, with or without a name.
        envelope_from: where bounces go; unset, to the sender.
        ca_file: certificates to trust instead of the system's.
        timeout: for each answer of the server, in seconds.
    """

    address: Literal["email"] = "email"

    def __init__(
        self,
        *,
        host: str,
        port: int,
        security: Literal["starttls", "tls", "none"],
        sender: str,
        username: str | None = None,
        password: str | None = None,
        envelope_from: str | None = None,
        ca_file: Path | None = None,
        timeout: timedelta,
    ) -> None:
        name, address = parseaddr(sender)
        self._sender = Mailbox(display_name=name, addr_spec=address)
        self._envelope_from = envelope_from or address
        self._host, self._port, self._security = host, port, security
        self._login = (username, password or "") if username else None
        self._ca_file, self._timeout = ca_file, timeout.total_seconds()

    def send(self, message: Message) -> None:
        """Hand the mail over; taken by at least one recipient's server, it is sent."""
        mail = self._mail(message)
        with self._connected() as server, _told_apart("data"):
            server.send_message(mail, self._envelope_from, list(message.to))

    def check(self) -> None:
        """Connect, encrypt and log in as for a mail, then leave."""
        with self._connected() as server, _told_apart("noop"):
            server.noop()

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = self._sender
        mail["To"] = ", ".join(message.to)
        mail["Subject"] = message.text.subject
        mail["Date"] = format_datetime(localtime())
        # Stable, so that a mailbox can drop what comes twice.
        mail["Message-ID"] = f"<{message.id.replace(':', '.')}@{self._sender.domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["Content-Language"] = message.language
        mail.set_content(message.text.body, cte="base64")
        mail.add_alternative(message.text.html, subtype="html", cte="base64")
        return mail

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        with _told_apart("connect"):
            server = self._open()
        try:
            yield server
            # What was taken stays taken, however badly the server says goodbye.
            with suppress(OSError, smtplib.SMTPException):
                server.quit()
        finally:
            server.close()

    def _open(self) -> smtplib.SMTP:
        # The sender's domain as our name: to look this machine's up may take longer than the mail.
        name, wait = self._sender.domain, self._timeout
        if self._security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, name, timeout=wait, context=self._trust()
            )
        else:
            server = smtplib.SMTP(self._host, self._port, name, timeout=wait)
        try:
            if self._security == "starttls":
                server.starttls(context=self._trust())
            if self._login:
                server.login(*self._login)
        except BaseException:
            server.close()
            raise
        return server

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._ca_file)


@contextmanager
def _told_apart(step: str) -> Iterator[None]:
    """The server's refusals as ours: by recipient or content for good, everything else for now."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        code = min(codes)  # One that may be taken later is worth trying again for.
        raise NotSent(f"smtp_{code}", for_good=code >= 500) from None
    except smtplib.SMTPDataError as error:
        raise NotSent(f"smtp_{error.smtp_code}", for_good=error.smtp_code >= 500) from None
    except smtplib.SMTPAuthenticationError:
        raise NotSent("authentication", down=True) from None
    except smtplib.SMTPNotSupportedError:
        # Before the mail it is the server that cannot encrypt; after, it cannot take this address.
        sending = step == "data"
        raise NotSent("not_supported", for_good=sending, down=not sending) from None
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"smtp_{error.smtp_code}", down=True) from None
    except TimeoutError:
        raise NotSent("timeout", down=True) from None
    except ssl.SSLError:
        raise NotSent("tls", down=True) from None
    except (OSError, smtplib.SMTPException) as error:
        # A silent server is told as one that hung up; what it really was stands behind.
        silent = isinstance(error.__context__, TimeoutError)
        lost = "connect" if step == "connect" else "disconnected"
        raise NotSent("timeout" if silent else lost, down=True) from None
