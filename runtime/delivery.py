"""The channels and the words of the messages, as the settings have them."""

import os

from dotenv import dotenv_values

from activities.channels import Channels, ChannelsError, open_channels
from activities.messages import Templates, faults
from runtime.settings import Settings
from runtime.trouble import Trouble


def channels(settings: Settings) -> Channels:
    """The ways out for messages; secrets are found in the environment or in `.env`.

    Raises:
        Trouble: the channels file cannot be used.
    """
    try:
        return open_channels(settings.channels, {**dotenv_values(".env"), **os.environ})
    except ChannelsError as error:
        found = " ".join(str(error).split())
        raise Trouble(
            f"The channels cannot be used ({found})",
            "correct the file, or give another with AFTERSALES_CHANNELS",
        ) from None


def templates(settings: Settings) -> Templates:
    """The words of the messages, every one tried.

    Raises:
        Trouble: a template is wrong.
    """
    if fault := next(faults(settings.templates), None):
        raise Trouble(
            f"A message template cannot be used ({fault})",
            "correct it in the folder that AFTERSALES_TEMPLATES names",
        )
    return Templates(settings.language, settings.templates)
