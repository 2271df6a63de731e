"""What a person must put right: said in one sentence, never as a traceback."""


class Trouble(Exception):
    """Something that stops a command: what was found, and what to do about it."""

    def __init__(self, found: str, advice: str = "") -> None:
        super().__init__(f"{found}: {advice}." if advice else f"{found}.")
        self.found, self.advice = found, advice
