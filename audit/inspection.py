"""`aftersales audit verify`: the archive inspected, and what was found told to a person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from sqlalchemy import Engine

from audit.faults import Fault, Finding
from audit.figures import Figures
from audit.filed import NothingThere, head_in, holds, how_many
from audit.forms import Comparison, compare
from audit.histories import Story
from audit.ledger import month_held_against, one_held_against
from audit.long_json import in_pieces
from audit.manifests import Erasure, Head, Manifest
from audit.parallel import Source, Untold, check_all, from_store, progress
from audit.replaying import Replayed
from audit.sheets import Sheet
from audit.shelf import Shelf
from audit.store import Missing, Store
from audit.verdicts import DASH, Judged, by_rule, counts, outages
from audit.verification import Checked, check_again, check_month, check_one, held_against
from audit.wording import Count
from domain.values import rfc3339
from records.personal import erased_numbers
from records.sealing import KeyRing
from runtime.version import version

MANY = 200
"""With more requests than this, those that need to be looked at are shown first, or alone."""


@dataclass
class Verdict:
    """One archived request, everything that is wrong with it, and what became of its promises.

    Attributes:
        erased: the entry that says that it was erased; None: it was not.
        hidden: whether the records say that it was erased; the chain may follow a little later.
        judged: None: its history does not open or does not replay.
    """

    manifest: Manifest
    erased: Erasure | None = None
    hidden: bool = False
    findings: list[Finding] = field(default_factory=list)
    judged: Judged | None = None

    @property
    def word(self) -> str:
        """The verdict in a word."""
        if self.findings:
            return "faulty"
        return "erased" if self.erased or self.hidden else "sound"

    @property
    def counted(self) -> list[str]:
        """How many promises were kept, late and breached; dashes: none could be judged."""
        if self.judged is None:
            return [DASH] * 3
        return [str(count) for count in counts(self.judged.promises).values()]


@dataclass
class Inspection:
    """Everything that was looked at.

    Attributes:
        asked: the request's number, or the month.
        archive: where the archive is.
        at: when it was looked at.
        head: the signed end of the chain, of a month that has one.
        stray: what is wrong with the archive itself rather than with one request.
        gone: a request that was erased before it was archived.
        forms: how the forms in the records were compared; None: they were not.
        figures: how the requests went, of those that could be judged.
    """

    asked: str
    archive: str
    at: datetime
    head: Head | None = None
    verdicts: Shelf[Verdict] = field(default_factory=Shelf)
    stray: list[Finding] = field(default_factory=list)
    gone: Erasure | None = None
    forms: Comparison | None = None
    figures: Figures = field(default_factory=Figures)

    @property
    def findings(self) -> list[Finding]:
        """All of them."""
        return [*self.stray, *(f for verdict in self.verdicts for f in verdict.findings)]

    @property
    def judged(self) -> Iterator[Judged]:
        """Every request whose promises could be judged."""
        return (verdict.judged for verdict in self.verdicts if verdict.judged)

    def as_json(self) -> Iterator[str]:
        """For machines, in pieces."""
        return in_pieces("requests", map(_plain, self.verdicts), self._but_requests())

    def _but_requests(self) -> dict[str, Any]:
        return {
            "erased": _said_of(self.gone),
            "rules": [each.plain() for each in by_rule(self.judged)],
            "outages": [each.plain() for each in outages(self.judged)],
            "forms": self.forms and self.forms.plain(),
            "outside_the_model": self.figures.outside(),
            "findings": [plain(finding) for finding in self.stray],
            "sound": not self.findings,
            "head": self.head and self.head.model_dump(mode="json"),
            "verified_at": rfc3339(self.at),
            "build": version(),
        }


def _plain(verdict: Verdict) -> dict[str, Any]:
    return {
        **verdict.manifest.model_dump(mode="json"),
        "verdict": verdict.word,
        "erased": _said_of(verdict.erased),
        "findings": [plain(finding) for finding in verdict.findings],
        **plain_judged(verdict.judged),
    }


async def inspect(
    store: Store,
    ring: str,
    keys: Sequence[str],
    *,
    number: str | None = None,
    month: str | None = None,
    records: Engine | None = None,
    processes: int | None = None,
    console: Console | None = None,
) -> Inspection:
    """Inspect one request or one month: files, chain, signature, and each history replayed and its
    promises judged.

    What was erased is not replayed: nobody opens it any more.

    Args:
        ring: the key ring in writing.
        keys: the public keys that may have signed.
        records: whose forms and chain are compared with the archive; None: they are not.
        processes: as in `audit.parallel.on_every_core`.
        console: where progress is shown, if it is a terminal.

    Raises:
        NothingThere: the archive holds nothing of the month, and nothing of it is missed.
    """
    read = KeyRing.read(ring)
    result = Inspection(number or month or "", store.url, datetime.now(UTC))
    if number:
        wanted = check_one(store, read, number)
        if records is not None:
            wanted = one_held_against(records, number, wanted)
    else:
        wanted = check_month(store, read, month or "", keys, result.at)
        if records is not None:
            wanted = month_held_against(records, store, month or "", wanted)
    result.forms = Comparison() if records is not None else None
    gone = erased_numbers(records) if records is not None else frozenset()
    replaying: dict[str, tuple[int, Verdict]] = {}

    def files() -> Iterator[tuple[str, Source]]:
        for place, verdict in enumerate(_whole(wanted, result)):
            verdict.hidden = verdict.manifest.number in gone
            if verdict.hidden and result.forms is not None:
                result.forms.erased += 1
            if verdict.word == "sound":
                replaying[str(place)] = place, verdict
                yield str(place), from_store(store, verdict.manifest)
            else:
                result.verdicts.put(place, verdict)

    def keep(place: int, verdict: Verdict, replayed: Replayed | Untold) -> None:
        if isinstance(replayed, Untold):
            _note_untold(store, verdict, replayed)
            result.verdicts.put(place, verdict)
            return
        verdict.findings += [*replayed.findings, *held_against(verdict.manifest, replayed.says)]
        verdict.judged = replayed.judged
        if replayed.trace is not None:
            result.figures.add(replayed.trace)
        if records is not None and result.forms is not None and replayed.judged is not None:
            number = verdict.manifest.number
            verdict.findings += compare(records, number, replayed, result.forms)
        result.verdicts.put(place, verdict)

    count = 1 if number else how_many(store, month or "")
    with progress(console) as shown:
        bar = shown.add_task("Replaying 重放", total=count)
        async for name, replayed in check_all(files(), ring, processes):
            keep(*replaying.pop(name), replayed)
            shown.update(bar, completed=len(result.verdicts))
    if month and not result.verdicts and not result.stray and not holds(store, month):
        raise NothingThere(store)
    # Of one request neither the month's chain nor its signature was looked at.
    result.head = _head(store, month) if month else None
    return result


def _note_untold(store: Store, verdict: Verdict, untold: Untold) -> None:
    """Why a history that was in order a moment ago could not be replayed."""
    if not untold.is_gone:
        where = verdict.manifest.number
        verdict.findings.append(Finding(Fault.history_unreadable, where, untold.why))
        return
    for each in check_again(store, verdict.manifest):
        if isinstance(each, Erasure):
            verdict.erased = each
        elif isinstance(each, Finding):
            verdict.findings.append(each)


def _whole(checked: Iterator[Checked], result: Inspection) -> Iterator[Verdict]:
    """Note what is checked, and give each verdict as soon as its file is.

    So the other processes replay while this one goes on checking files.
    """
    last: Verdict | None = None
    for each in checked:
        if isinstance(each, Manifest):
            if last is not None:
                yield last
            last = Verdict(each)
        elif isinstance(each, Erasure) and last is not None:
            last.erased = each
        elif isinstance(each, Erasure):
            result.gone = each
        elif last is not None and each.where == last.manifest.number:
            last.findings.append(each)
        else:
            result.stray.append(each)
    if last is not None:
        yield last


def _head(store: Store, month: str) -> Head | None:
    """The signed end of the month's chain; None: there is none that can be read."""
    try:
        return head_in(store, month)
    except (Missing, ValueError):
        return None


def table(result: Inspection) -> Sheet:
    """For people, in both languages."""
    shown = Sheet(
        "request 服务请求",
        "closed 关闭",
        "events 事件",
        "outcome 结果",
        "kept 按时",
        "late 迟办",
        "breached 超时",
        "verdict 结论",
        caption=_caption(len(result.verdicts)),
    )
    many = len(result.verdicts) > MANY
    for verdict in (each for each in result.verdicts if each.findings or not many):
        kept = verdict.manifest
        shown.add(
            kept.number,
            f"{kept.closed_at:%Y-%m-%d %H:%M}Z",
            str(kept.events),
            kept.outcome or DASH,
            *verdict.counted,
            "\n".join(_told(finding) for finding in verdict.findings) or _SHOWN[verdict.word],
        )
    return shown


def _caption(count: int) -> str | None:
    if count > MANY:
        return "Of so many only those with a fault 请求较多，只列出有问题的"
    return "in the order of the chain 按链上的次序" if count > 1 else None


_SHOWN = {"sound": "sound 完好", "erased": "erased 已清除"}


def lines(result: Inspection) -> Iterator[str]:
    """What is wrong with the archive itself, and the whole in one line."""
    for finding in result.stray:
        yield f"{finding.where}: {_told(finding)}"
    if result.gone:
        told = f"{result.gone.number}: erased before it was archived. 归档之前已清除。"
        yield told
    requests, faults = Count(len(result.verdicts)), Count(len(result.findings))
    yield f"{requests:request}, {faults:fault}. 共 {requests} 个服务请求，{faults} 处问题。"


_TOLD = {"number", "at", "why"}


def _said_of(erasure: Erasure | None) -> dict[str, Any] | None:
    return None if erasure is None else erasure.model_dump(mode="json", include=_TOLD)


def _told(finding: Finding) -> str:
    return f"{finding.fault}: {finding.detail}"


def plain_judged(judged: Judged | None) -> dict[str, Any]:
    """What was judged of a request, in JSON types."""
    return {
        "until": rfc3339(judged.until) if judged else None,
        "promises": [each.model_dump(mode="json") for each in judged.promises] if judged else [],
        "outages": [each.model_dump(mode="json") for each in judged.outages] if judged else [],
    }


def unarchived(story: Story, replayed: Replayed) -> dict[str, Any]:
    """What was found of a request that is not archived yet, in JSON types."""
    return {
        "archived": False,
        "number": story.number,
        "events": story.events,
        "verdict": "faulty" if replayed.findings else "sound",
        "findings": [plain(finding) for finding in replayed.findings],
        **plain_judged(replayed.judged),
    }


def plain(finding: Finding) -> dict[str, str]:
    """A finding in JSON types."""
    return {"fault": finding.fault.value, "where": finding.where, "detail": finding.detail}
