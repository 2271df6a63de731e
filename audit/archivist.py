"""The archivist: brings the history of every closed request and the access log into the archive,
and follows there what was erased.

One sweep serves all: what has just closed or was erased, and what was missed because no worker was
up. It looks for what has no entry in the chain, so nothing has to be remembered.
"""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from temporalio.client import Client
from temporalio.service import RPCError

from audit.access import written
from audit.facts import closing
from audit.filed import head_in
from audit.histories import HistoryGone, NoHistory, Story, delete, fetch_run, is_running
from audit.keys import key_file, wrapped
from audit.manifests import (
    BEGINNING,
    Entry,
    Erasure,
    Head,
    Manifest,
    Reads,
    described,
    public_key,
    read_entry,
)
from audit.sources import from_server, manifest_of
from audit.store import Missing, Store
from domain.policy import Retention
from records import access_log, chain, earlier_runs, tables
from records.chain import Kind
from records.personal import Why, erase_old
from records.sealing import DataKey, KeyRing
from workflows.messages import WORKFLOW

log = structlog.get_logger("audit")

ROUND_SECONDS = 30.0
LAST_SECONDS = 3.0
EVERY_DAY = timedelta(days=1)
LISTED_LATE = timedelta(minutes=10)
"""How much later than it ended the server lists a run, but for the worst of days."""
THREE_YEARS = Retention().records


def _now() -> datetime:
    return datetime.now(UTC)


class Archivist:
    """Archives closed requests and signs the chains of the months that are over.

    Several may work on the same archive: the database gives each place in the chain once.

    Args:
        ring: wraps the records' keys.
        key: signs the heads.
        timezone: whose months count.
        kept_for: how long after their closing requests are erased.
    """

    def __init__(
        self,
        engine: Engine,
        client: Client,
        store: Store,
        ring: KeyRing,
        key: Ed25519PrivateKey,
        *,
        timezone: str = "Asia/Shanghai",
        kept_for: timedelta = THREE_YEARS,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._engine, self._client, self._store = engine, client, store
        self._ring, self._key = ring, key
        self._zone, self._kept_for, self._now = ZoneInfo(timezone), kept_for, now
        self._looked_for_old: datetime | None = None
        self._looked_for_runs: datetime | None = None
        self._complained: set[tuple[str, str]] = set()
        self._known_heads: dict[str, int] = {}

    async def run(self) -> None:
        """Archive for ever; whatever goes wrong is tried again in the next round."""
        while True:
            for step in (self.erase_all, self.archive_all, self.sign_all, self.keep_runs):
                await self._attempt(step)
            await asyncio.sleep(ROUND_SECONDS)

    async def finish(self) -> None:
        """Archive what was closed since the last round, as far as a few seconds go."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._attempt(self.archive_all)

    async def _attempt(self, step: Callable[[], Awaitable[object]]) -> None:
        try:
            await step()
        except (RPCError, OSError) as error:
            log.warning("archive_unavailable", error=type(error).__name__)
        except Exception:
            log.exception("archivist_stumbled")

    async def erase_all(self) -> None:
        """Erase what is older than records are kept, and follow every erasure to its end.

        The chain tells of it, the record's key is removed from the store, and the server deletes
        its own history. Each step may be repeated: whatever was left half-way is done now.

        Raises:
            temporalio.service.RPCError: the server did not answer.
            OSError: the store did not.
        """
        await asyncio.to_thread(self._erase_old)
        erasures = await asyncio.to_thread(chain.unswept, self._engine)
        chained = [each for each in erasures if await asyncio.to_thread(self._tell_of, each)]
        await asyncio.to_thread(self._file)
        for each in chained:
            manifest = await manifest_of(self._engine, each.number)
            if not await delete(self._client, each.number, manifest.runs if manifest else ()):
                await asyncio.to_thread(chain.mark_swept, self._engine, each.number)

    async def keep_runs(self) -> int:
        """Keep the runs of requests that went on in a new one, while the server has them; how many.

        Raises:
            temporalio.service.RPCError: the server did not answer.
        """
        await asyncio.to_thread(earlier_runs.drop_what_is_archived, self._engine)
        now, since = self._now(), self._looked_for_runs
        query = f"WorkflowType = '{WORKFLOW}' AND ExecutionStatus = 'ContinuedAsNew'"
        # Once a day all of them: a run may be listed late, and clocks differ.
        if since is not None and since.date() == now.date():
            query += f" AND CloseTime >= '{(since - LISTED_LATE).astimezone(UTC).isoformat()}'"
        added = failed = 0
        async for each in self._client.list_workflows(query):
            try:
                added += await self._keep_run(each.id, each.run_id)
            except Exception as error:  # One that cannot be kept holds up no other.
                self._complain("run_not_kept", each.id, error=type(error).__name__)
                failed += 1
        if not failed:
            self._looked_for_runs = now
        return added

    async def archive_all(self) -> int:
        """Archive every closed request that waits, and who read what; how many requests were added.

        Raises:
            temporalio.service.RPCError: the server did not answer.
            OSError: the store did not.
        """
        added, after = 0, ""
        while waiting := await asyncio.to_thread(chain.waiting, self._engine, after):
            for closed in waiting:
                try:
                    added += await self._archive_one(closed)
                except (RPCError, OSError):
                    raise
                except Exception as error:  # One that cannot be archived holds up no other.
                    # Its text may quote what stands in the history.
                    what = type(error).__name__
                    self._complain("request_not_archived", closed.number, error=what)
            after = waiting[-1].number
        while await asyncio.to_thread(self._archive_reads):
            pass
        await asyncio.to_thread(self._file)
        return added

    async def sign_all(self) -> None:
        """Sign the months that are over.

        Raises:
            OSError: the store did not answer.
        """
        await asyncio.to_thread(self.sign_months)

    def sign_months(self, *, also_this_one: bool = False) -> list[Head]:
        """Sign the chains of the months that are over and not signed yet; those heads."""
        this_month = self._month(self._now())
        signed = []
        for month, count, last in chain.months(self._engine):
            is_over = month < this_month or also_this_one
            if is_over and self._known_heads.get(month) != last:
                head = self._head(month, count, last)
                if self._may_sign(head):
                    self._store.put(head.name, head.written())
                    signed.append(head)
                self._known_heads[month] = last
        return signed

    async def _keep_run(self, number: str, run: str) -> bool:
        if not await asyncio.to_thread(earlier_runs.is_wanted, self._engine, number, run):
            return False
        try:
            content = Story(number, (await fetch_run(self._client, number, run),)).written()
            return await asyncio.to_thread(earlier_runs.keep, self._engine, number, run, content)
        except (HistoryGone, IntegrityError):  # Temporal or another archivist was faster.
            return False

    async def _archive_one(self, closed: tables.Archive) -> bool:
        try:
            if await is_running(self._client, closed.number):
                return False  # Its last workflow task is still to come.
            story = await from_server(self._engine, self._client, closed.number)
        except (HistoryGone, NoHistory) as error:
            self._complain("history_not_archived", closed.number, error=str(error))
            return False
        if story.lacks:
            log.error("history_incomplete", number=closed.number, lacks=story.lacks)
        # The records may still tell of an end that Temporal never heard of.
        ended = await closing(self._ring, story)
        outcome, at = (ended.outcome, ended.closed_at) if ended else (closed.outcome, None)
        return await asyncio.to_thread(
            self._archive, story, closed.policy_version, outcome, at or closed.closed_at
        )

    def _complain(self, what: str, number: str, **about: str) -> None:
        """Once, and not again in every round."""
        if (what, number) not in self._complained:
            log.error(what, number=number, **about)
        self._complained.add((what, number))

    def _erase_old(self) -> None:
        """Once a day."""
        now = self._now()
        if self._looked_for_old is not None and now - self._looked_for_old < EVERY_DAY:
            return
        if numbers := erase_old(self._engine, now - self._kept_for, now):
            log.info("records_erased", why=Why.retention, numbers=numbers)
        self._looked_for_old = now

    def _tell_of(self, erasure: tables.Erasure) -> bool:
        """Whether the chain tells of an erasure, now or already."""
        month = self._month(self._now())

        def link(last: tables.Link | None) -> tables.Link:
            entry = Erasure(
                **_after(last, month),
                number=erasure.number,
                at=erasure.at,
                why=erasure.why,
            )
            return _as_link(entry, erasure.number)

        try:
            chain.add(self._engine, Kind.erasure, erasure.number, link)
        except IntegrityError:  # Another was faster to take the place: the next round.
            return False
        return True

    def _archive(
        self, story: Story, policy_version: str, outcome: str | None, closed_at: datetime
    ) -> bool:
        """The file first: a manifest never speaks of what is not there.

        Its name is its content's, so that two archivists never write the same file. Until the
        entry is in the chain, its key is nowhere but here: a file left behind opens to nobody.
        """
        number, key = story.number, DataKey()
        content = story.sealed(key)
        about = described(story, content)
        now = self._now()
        month = self._month(now)
        file = f"{month}/{number}-{about['sha256'][:8]}.history"
        self._store.put(file, content)

        def link(last: tables.Link | None) -> tables.Link:
            manifest = Manifest(
                file=file,
                policy_version=policy_version,
                outcome=outcome,
                closed_at=closed_at,
                archived_at=now,
                **_after(last, month),
                **about,
            )
            return _as_link(manifest, number, wrapped(self._ring, number, key))

        try:
            added = chain.add(self._engine, Kind.history, number, link)
        except IntegrityError:  # Another was faster to take the place: the next round.
            added = False
        if not added:
            self._store.remove(file)
        return added

    def _archive_reads(self) -> bool:
        """Whether there may be more rows of the access log to take."""
        rows = access_log.pending(self._engine)
        if not rows:
            return False
        content = written(rows)
        month = self._month(self._now())
        # Another archivist may be writing the very same rows.
        file = f"{month}/reads-{rows[0].id:08d}-{secrets.token_hex(4)}.json.gz"
        self._store.put(file, content)

        def link(last: tables.Link | None) -> tables.Link:
            entry = Reads(
                **_after(last, month),
                file=file,
                sha256=hashlib.sha256(content).hexdigest(),
                count=len(rows),
            )
            return _as_link(entry, None)

        try:
            taken = [row.id for row in rows if row.id is not None]
            added = chain.add(self._engine, Kind.reads, None, link, takes=taken)
        except IntegrityError:  # Another was faster to take the place: the next round.
            added = False
        if not added:
            self._store.remove(file)
        return added

    def _file(self) -> None:
        """Bring the store to what the chain says, entries and keys alike."""
        while rows := chain.unfiled(self._engine):
            for row in rows:
                entry = read_entry(row.content)
                self._store.put(entry.name, entry.written())
                if row.number and row.key:
                    self._store.put(key_file(row.number), row.key.encode())
                elif row.number:  # It was erased, or this says so.
                    self._store.remove(key_file(row.number))
                chain.mark_filed(self._engine, row)

    def _head(self, month: str, count: int, last: int) -> Head:
        head = Head(
            month=month,
            count=count,
            seq=last,
            hash=chain.get(self._engine, last).hash,
            signed_at=self._now(),
            key=public_key(self._key),
        )
        return head.signed(self._key)

    def _may_sign(self, head: Head) -> bool:
        """Unless it is signed already; what is not ours, or was changed, stays: it is evidence."""
        try:
            there = head_in(self._store, head.month)
        except Missing:
            return True
        except ValueError:
            there = None
        if there is None or not there.is_signed_by(head.key):
            log.error("head_not_ours", month=head.month)
            return False
        # The month may have gone on after it was signed.
        return (there.seq, there.hash) != (head.seq, head.hash)

    def _month(self, moment: datetime) -> str:
        return f"{moment.astimezone(self._zone):%Y-%m}"


def _after(last: tables.Link | None, month: str) -> dict[str, Any]:
    """Where an entry stands: never in an earlier month than the one before it.

    Another archivist, whose clock is ahead, may have begun the next month already.
    """
    if last is None:
        return {"seq": 1, "month": month, "previous": BEGINNING}
    return {"seq": last.seq + 1, "month": max(month, last.month), "previous": last.hash}


def _as_link(entry: Entry, number: str | None, key: str | None = None) -> tables.Link:
    return tables.Link(
        seq=entry.seq,
        kind=entry.kind,
        number=number,
        month=entry.month,
        hash=entry.hash,
        content=entry.model_dump_json(),
        key=key,
    )
