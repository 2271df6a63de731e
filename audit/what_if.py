"""What if: the same events, judged under another policy.

People are taken to act when they did, and an offer that ended unanswered ends when it ended: only
what was promised is another.
"""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from itertools import zip_longest
from typing import Any

from rich.console import Console

from activities.messages import Language
from activities.working_days import calendar_for
from audit.facts import tell
from audit.faults import Finding
from audit.filed import NothingThere
from audit.histories import Story
from audit.judging import judge
from audit.long_json import in_pieces
from audit.manifests import Erasure, Manifest
from audit.parallel import Source, Untold, from_store, on_every_core, progress
from audit.report import page, words
from audit.sheets import Sheet
from audit.shelf import Shelf
from audit.store import Store
from audit.verdicts import DASH, Judged, judged
from audit.verification import check_month, was_erased
from audit.wording import ASSUMPTIONS, CHANGES, Count, span
from domain.clocks import BROKEN, Ticking
from domain.policy import Policy, PolicyError
from domain.rules import Rule
from domain.shown import ShownVerdict
from domain.vocabulary import Role
from records.sealing import KeyRing


class Change(StrEnum):
    """How the verdict on a promise would be another."""

    broken = "broken"
    kept = "kept"
    promised = "promised"
    unpromised = "unpromised"


@dataclass(frozen=True)
class Otherwise:
    """A promise that would stand otherwise.

    Attributes:
        promise: as it would be, or else as it was.
        was, would: None: it is not promised.
    """

    number: str
    station: str | None
    change: Change
    promise: ShownVerdict
    was: ShownVerdict | None
    would: ShownVerdict | None

    @property
    def engineer(self) -> str | None:
        """Who owes it, if an engineer does."""
        return self.promise.who if self.promise.owed_by is Role.engineer else None

    def plain(self) -> dict[str, Any]:
        """In JSON types."""
        return {
            "number": self.number,
            "station": self.station,
            "rule": self.promise.rule,
            "subject": self.promise.subject,
            "engineer": self.engineer,
            "change": self.change,
            "was": self.was and self.was.model_dump(mode="json"),
            "would": self.would and self.would.model_dump(mode="json"),
        }


MOST_PROMISES = 100_000
"""More are made to nobody: so far apart lie two requests' changes on their shelf."""

Sums = dict[str, dict[Change, int]]


@dataclass
class WhatIf:
    """What another policy would have made of a month.

    Attributes:
        judged: how many requests were judged.
        skipped: those whose history is damaged, does not open, or does not replay.
        erased: how many have no history any more, because their customer was erased.
        own: the policies that they really lived by, by version, and how many did.
    """

    month: str
    policy: Policy
    at: datetime
    judged: int = 0
    skipped: list[str] = field(default_factory=list)
    erased: int = 0
    own: dict[str, int] = field(default_factory=dict)
    changes: Shelf[Otherwise] = field(default_factory=Shelf)

    def sums(self) -> dict[str, Sums]:
        """How often each change, by rule, by station and by engineer."""
        found: dict[str, Sums] = {"rules": {}, "stations": {}, "engineers": {}}
        for each in self.changes:
            keys = (each.promise.rule.value, each.station, each.engineer)
            for sums, key in zip(found.values(), keys, strict=True):
                if key is not None:
                    sums.setdefault(key, dict.fromkeys(Change, 0))[each.change] += 1
        return {kind: dict(sorted(sums.items())) for kind, sums in found.items()}

    def as_json(self) -> Iterator[str]:
        """For machines, in pieces."""
        content = {
            "month": self.month,
            "policy": {"name": self.policy.name, "version": self.policy.version},
            "assumptions": [english for english, _ in ASSUMPTIONS],
            "judged": self.judged,
            "skipped": self.skipped,
            "erased": self.erased,
            "own_policies": self.own,
            **self.sums(),
        }
        return in_pieces("changes", (each.plain() for each in self.changes), content)


class _Bad(str):
    """Why a request cannot be judged under the policy; errors of ours do not cross processes."""


_Found = tuple[str, list[Otherwise]]
"""The version of a request's own policy, and what would stand otherwise under the other."""


async def judge_month(
    store: Store,
    ring: str,
    month: str,
    policy: Policy,
    at: datetime,
    console: Console,
    erased: Collection[str] = frozenset(),
    processes: int | None = None,
) -> WhatIf:
    """Judge every archived request of a month under its own policy and under another.

    Args:
        ring: the key ring in writing.
        at: when this is asked.
        console: where progress is shown, if it is a terminal.
        erased: requests that are not to be told, besides those that the chain knows.
        processes: as in `audit.parallel.on_every_core`.

    Raises:
        NothingThere: the archive holds nothing of the month.
        PolicyError: the policy's working days are not known.
    """
    result = WhatIf(month, policy, at)
    manifests: dict[str, Manifest] = {}
    for each in check_month(store, KeyRing.read(ring), month, [], at):
        if isinstance(each, Manifest) and each.number in erased:
            result.erased += 1
        elif isinstance(each, Manifest):
            manifests[each.number] = each
        elif isinstance(each, Finding) and each.where in manifests:
            del manifests[each.where]
            result.skipped.append(each.where)
        elif isinstance(each, Erasure) and each.number in manifests:
            del manifests[each.number]
            result.erased += 1
    if not manifests and not result.skipped and not result.erased:
        raise NothingThere(store)
    files = [(number, from_store(store, m)) for number, m in manifests.items()]
    places = {number: place * MOST_PROMISES for place, number in enumerate(manifests)}
    judging = on_every_core(partial(_apart, policy), files, ring, processes)
    with progress(console) as shown:
        bar = shown.add_task("Judging 判定", total=len(files))
        async with aclosing(judging):
            async for number, found in judging:
                shown.advance(bar)
                if isinstance(found, _Bad):
                    raise PolicyError(str(found))
                if isinstance(found, Untold):
                    if found.is_gone and was_erased(store, number):
                        result.erased += 1
                    else:
                        result.skipped.append(number)
                    continue
                version, changes = found
                for place, change in enumerate(changes, places[number]):
                    result.changes.put(place, change)
                result.judged += 1
                result.own[version] = result.own.get(version, 0) + 1
    result.skipped.sort()
    return result


def _apart(policy: Policy, source: Source, ring: KeyRing) -> _Found | _Bad:
    return asyncio.run(_judged_twice(ring, source(ring), policy))


async def _judged_twice(ring: KeyRing, story: Story, policy: Policy) -> _Found | _Bad:
    """Under its own policy and under the other."""
    told = await tell(ring, story)
    try:
        hours = calendar_for(policy, told.request.brief.received_at).windows
    except PolicyError as error:
        return _Bad(error)
    own = judged(story, told, judge(told))
    found = judge(told, policy.model_dump(mode="json"), hours)
    other = judged(story, told, found, policy.name)
    return told.request.policy.version, list(_compared(own, other))


def _compared(own: Judged, other: Judged) -> Iterator[Otherwise]:
    was, would = _by_key(own), _by_key(other)
    for key in dict.fromkeys([*was, *would]):
        for before, after in zip_longest(was.get(key, []), would.get(key, [])):
            if change := _change(before, after):
                promise = after or before
                yield Otherwise(own.number, own.station, change, promise, before, after)


def _by_key(found: Judged) -> dict[tuple[Rule, str | None], list[ShownVerdict]]:
    promises: dict[tuple[Rule, str | None], list[ShownVerdict]] = {}
    for promise in found.promises:
        promises.setdefault((promise.rule, promise.subject), []).append(promise)
    return promises


def _change(was: ShownVerdict | None, would: ShownVerdict | None) -> Change | None:
    if was is None:
        return Change.promised
    if would is None:
        return Change.unpromised
    before, after = was.standing in BROKEN, would.standing in BROKEN
    if before == after:
        return None
    return Change.broken if after else Change.kept


# --- told -----------------------------------------------------------------------------------------


def tables(result: WhatIf) -> Iterator[Sheet]:
    """For people, in both languages: the sums, then every promise that would stand otherwise."""
    headings = {"rules": "rule 规则", "stations": "station 网点", "engineers": "engineer 工程师"}
    for kind, sums in result.sums().items():
        if sums:
            shown = Sheet(headings[kind], *(" ".join(CHANGES[each.value]) for each in Change))
            for key, counted in sums.items():
                shown.add(key, *(str(counted[each]) for each in Change))
            yield shown
    if result.changes:
        shown = Sheet(
            "request 服务请求",
            "rule 规则",
            "was 原判",
            "allowed 原时限",
            "would be 改判",
            "allowed 新时限",
            "engineer 工程师",
        )
        for each in result.changes:
            subject = f" {each.promise.subject}" if each.promise.subject else ""
            shown.add(
                each.number,
                f"{each.promise.rule} {each.promise.zh}{subject}",
                *_said(each.was),
                *_said(each.would),
                each.engineer or DASH,
            )
        yield shown


def lines(result: WhatIf) -> Iterator[str]:
    """The assumptions, and the whole in one line."""
    for english, chinese in ASSUMPTIONS:
        yield f"{english} {chinese}"
    if result.skipped:
        names = ", ".join(result.skipped)
        yield f"Skipped, damaged or not replayed 已略过，损坏或无法重放: {names}"
    if result.erased:
        yield f"Erased: {result.erased}. 已清除：{result.erased}。"
    judged, changes = Count(result.judged), Count(len(result.changes))
    yield (
        f"{judged:request} under {result.policy.name} ({result.policy.version}): "
        f"{changes:promise} would stand otherwise. "
        f"共 {judged} 个服务请求，{changes} 项承诺会有不同结论。"
    )


def render(result: WhatIf, language: Language) -> Iterator[str]:
    """The report: one HTML document that needs nothing else, in pieces."""
    which = language == "zh-CN"
    return page(
        "what_if.html.j2",
        language,
        title=words(language)["what_if"].format(month=result.month),
        result=result,
        sums=result.sums(),
        kinds=list(Change),
        changes={each.value: CHANGES[each.value][which] for each in Change},
        assumptions=[each[which] for each in ASSUMPTIONS],
        rules=set(Rule),
    )


def _said(promise: ShownVerdict | None) -> tuple[str, str]:
    if promise is None:
        return DASH, DASH
    late = promise.standing in (Ticking.late, Ticking.breached)
    over = promise.person_late_seconds + promise.platform_late_seconds
    told = f"{promise.standing} +{span(over)}" if late and over >= 0.05 else promise.standing.value
    return told, span(promise.goal_seconds)
