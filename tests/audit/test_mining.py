"""The archive told as event logs: read back by another's reader, traceable to the histories."""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import r4pm
from r4pm import bindings

import cli
from audit import mining, parallel
from audit.event_log import EVENT_ATTRIBUTES, OBJECT_ATTRIBUTES, Trace, trace
from audit.facts import tell
from audit.figures import BEGIN, END
from audit.filed import NothingThere
from audit.manifests import Erasure
from audit.mining import Format, mine
from audit.store import Store
from domain.vocabulary import Role
from tests.audit.test_tampering import MONTH, NOW, Archive, archive, golden
from tests.databases import RING, RING_TEXT

__all__ = ["archive"]

HISTORIES = Path(__file__).parents[1] / "workflow" / "histories"
CLAIMED = HISTORIES / "v2" / "claimed_and_called.json"
XES = "{http://www.xes-standard.org/}"


def read_time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.fixture
def whole(archive: Archive) -> Archive:
    """Every recorded history of a request, the newer ones too."""
    archive.add(CLAIMED)
    return archive


async def traces(archive: Archive) -> list[Trace]:
    paths = [*sorted((HISTORIES / "v1").glob("*.json")), CLAIMED]
    return [trace(await tell(RING, golden(path)), RING) for path in paths]


async def mined_into(archive: Archive, folder: Path, **how: Any) -> mining.Mined:
    return await mine(archive.store, RING_TEXT, folder, month=MONTH, **how)


@pytest.fixture
def imported() -> Iterator[Any]:
    """Reads a log with another's reader, and gives its file as that one writes it."""
    ids: list[str] = []

    def read(kind: str, path: Path, ending: str) -> tuple[str, Path]:
        ids.append(r4pm.import_item(kind, str(path)))
        back = path.with_name(f"back{ending}")
        r4pm.export_item(ids[-1], str(back))
        return ids[-1], back

    yield read
    for id in ids:
        r4pm.remove_item(id)


# --- XES ------------------------------------------------------------------------------------------


def pairs(element: ElementTree.Element) -> dict[str, str]:
    return {
        child.attrib["key"]: child.attrib["value"] for child in element if "key" in child.attrib
    }


async def test_xes_is_read_back_as_it_was_told(
    whole: Archive, tmp_path: Path, imported: Any
) -> None:
    told = {each.number: each for each in await traces(whole)}
    await mined_into(whole, tmp_path / "out", formats=[Format.xes])
    log, back = imported("EventLog", tmp_path / "out" / f"{MONTH}.xes", ".xes")
    projection = bindings.log_to_activity_projection(log=log)
    assert bindings.get_num_cases(projection) == len(told) == 7
    read = {pairs(t)["concept:name"]: t for t in ElementTree.parse(back).iter(f"{XES}trace")}
    assert read.keys() == told.keys()
    for number, expected in told.items():
        assert pairs(read[number])["aftersales:type"] == expected.attributes["type"]
        events = [pairs(event) for event in read[number].iter(f"{XES}event")]
        assert [
            (e["aftersales:id"], e["concept:name"], read_time(e["time:timestamp"])) for e in events
        ] == [(h.id, h.activity, h.at) for h in expected.happenings]
        for event, happening in zip(events, expected.happenings, strict=True):
            assert event.get("org:resource") == happening.attributes.get("resource")
            assert event["aftersales:history_event"] == str(happening.attributes["history_event"])


async def test_what_xes_promises_of_every_event_every_event_has(
    whole: Archive, tmp_path: Path
) -> None:
    await mined_into(whole, tmp_path, formats=[Format.xes])
    log = ElementTree.parse(tmp_path / f"{MONTH}.xes").getroot()
    promised = {g.attrib["scope"]: set(pairs(g)) for g in log.iter(f"{XES}global")}
    for scope, what in promised.items():
        assert all(what <= set(pairs(each)) for each in log.iter(XES + scope))
    for classifier in log.iter(f"{XES}classifier"):
        assert set(classifier.attrib["keys"].split()) <= promised["event"]
    prefixes = {each.attrib["prefix"] for each in log.iter(f"{XES}extension")}
    used = {k.partition(":")[0] for event in log.iter(f"{XES}event") for k in pairs(event)}
    assert used == {"concept", "time", "lifecycle", "org", "aftersales"}
    assert used - {"aftersales"} == prefixes


@pytest.mark.parametrize("odd", ["\uffff", "\ufffe", "\ud800", "\x00", "\x0b", "\x1f"], ids=ascii)
async def test_what_no_xml_can_hold_is_replaced(odd: str, tmp_path: Path, imported: Any) -> None:
    told, fine = await scenario("happy_path"), "工\t\n\r~\x7f\ud7ff\ue000\U0010ffff"
    about = {**told.happenings[0].attributes, "resource": f"E{odd}1{fine}"}
    happening = replace(told.happenings[0], attributes=about, things=((f"engineer:{odd}", "by"),))
    for ending, kind in mining.WRITERS.values():
        path = tmp_path / f"odd{ending}"
        with path.open("w", encoding="utf-8") as file:
            log = kind(file)
            log.add(replace(told, happenings=(happening,)))
            log.close()
            log.release()
    (event,) = ElementTree.parse(tmp_path / "odd.xes").iter(f"{XES}event")
    assert pairs(event)["org:resource"] == f"E\ufffd1{fine}"
    _, back = imported("EventLog", tmp_path / "odd.xes", ".xes")
    (event,) = ElementTree.parse(back).iter(f"{XES}event")
    assert pairs(event)["org:resource"].startswith("E\ufffd1工")
    read = json.loads((tmp_path / "odd.ocel.json").read_text(encoding="utf-8"))
    (happened,) = read["events"]
    said = {each["name"]: each["value"] for each in happened["attributes"]}
    expected = odd if odd < " " else "\ufffd"  # Control characters, JSON can write.
    assert said["resource"] == f"E{expected}1{fine}"
    imported("OCEL", tmp_path / "odd.ocel.json", ".json")


# --- OCEL -----------------------------------------------------------------------------------------


def plain(content: Any) -> Any:
    """A log in which times written differently are the same."""
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return [plain(each) for each in content]
    if isinstance(content, str) and re.match(r"\d{4}-\d\d-\d\dT", content):
        return read_time(content)
    return content


async def test_ocel_is_read_back_as_it_was_told(
    whole: Archive, tmp_path: Path, imported: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    told = await traces(whole)
    await mined_into(whole, tmp_path / "out", formats=[Format.ocel])
    path = tmp_path / "out" / f"{MONTH}.ocel.json"
    log, back = imported("OCEL", path, ".json")
    assert "dropping" not in capfd.readouterr().err, "something refers to nothing"
    linked = bindings.slim_link_ocel(ocel=log)
    assert bindings.num_events(ocel=linked) == sum(len(each.happenings) for each in told)
    assert bindings.num_objects(ocel=linked) == len({t.id for each in told for t in each.things})
    ours, theirs = (plain(json.loads(p.read_text(encoding="utf-8"))) for p in (path, back))
    for kind in ("objectTypes", "eventTypes", "events", "objects"):
        assert _by_name(ours[kind]) == _by_name(theirs[kind]), kind


def _by_name(each: list[dict[str, Any]]) -> dict[str, Any]:
    return {one.get("id") or one["name"]: one for one in each}


async def test_everything_in_ocel_is_of_a_type_that_it_declares(
    whole: Archive, tmp_path: Path
) -> None:
    await mined_into(whole, tmp_path, formats=[Format.ocel])
    log = json.loads((tmp_path / f"{MONTH}.ocel.json").read_text(encoding="utf-8"))
    kinds = {"string": str, "integer": int, "float": float | int, "boolean": bool, "time": str}
    for plural, types in (("events", "eventTypes"), ("objects", "objectTypes")):
        declared = {
            t["name"]: {a["name"]: kinds[a["type"]] for a in t["attributes"]} for t in log[types]
        }
        for one in log[plural]:
            for attribute in one["attributes"]:
                assert isinstance(attribute["value"], declared[one["type"]][attribute["name"]])
    assert {t["name"] for t in log["objectTypes"]} == set(OBJECT_ATTRIBUTES)
    assert {o["type"] for o in log["objects"]} >= {
        *("request", "work_order", "engineer", "station", "offer", "appointment", "visit"),
        *("quote", "complaint", "product_model"),
    }


def about(told: Trace, activity: str, how: str) -> list[str]:
    """What the happenings of this name are about in this way."""
    happenings = [h for h in told.happenings if h.activity == activity]
    return [id for h in happenings for id, as_what in h.things if as_what == how]


async def scenario(name: str) -> Trace:
    (path,) = HISTORIES.glob(f"v*/{name}.json")
    return trace(await tell(RING, golden(path)), RING)


async def test_events_are_about_the_things_they_touch() -> None:
    told = await scenario("declined_and_rescheduled")
    number = told.number
    first, second = f"{number}/offer/1", f"{number}/offer/2"
    assert about(told, "offered", "offer") == [first, second]
    assert about(told, "declined", "offer") == [first]
    assert about(told, "accepted", "offer") == [second]
    things = {thing.id: thing for thing in told.things}
    assert (things[first].attributes["state"], things[second].attributes["state"]) == (
        "declined",
        "accepted",
    )
    appointed = about(told, "appointed", "appointment")
    (moved,) = about(told, "rescheduled", "appointment")
    assert about(told, "no_show", "appointment") == [moved]
    assert len({*appointed, moved}) == 3
    (missed,) = about(told, "no_show", "visit")
    (done,) = about(told, "completed", "visit")
    assert things[missed].attributes["result"] == "no_show"
    assert things[done].attributes["result"] == "completed"
    order = {id for each in told.happenings for id, how in each.things if how == "work order"}
    assert order == {things[number].related[1][0]}
    assert not about(told, "received", "work order")


async def test_quotes_and_complaints_are_things_too() -> None:
    paid = await scenario("happy_path")
    quote = [f"{paid.number}/quote/1"]
    assert about(paid, "quoted", "quote") == about(paid, "quote_approved", "quote") == quote
    low = await scenario("low_score")
    complaint = [f"{low.number}/complaint/1"]
    for activity in ("complaint_taken_over", "remedy_offered", "complaint_settled"):
        assert about(low, activity, "complaint") == complaint
    (case,) = (thing for thing in low.things if thing.type == "complaint")
    assert case.attributes == {
        "class": "attitude",
        "source": "survey",
        "state": "settled",
        "remedy": "refund",
    }


# --- what stands behind it ------------------------------------------------------------------------


async def test_every_event_leads_to_the_histories_event_that_brought_it() -> None:
    for path in [*sorted((HISTORIES / "v1").glob("*.json")), CLAIMED]:
        story = golden(path)
        events = {(run.run_id, e.event_id): e for run in story.runs for e in run.events}
        for happening in trace(await tell(RING, story)).happenings:
            place = (happening.attributes["run"], happening.attributes["history_event"])
            event = events[place]  # type: ignore[index]
            brought = event.WhichOneof("attributes")
            sent = happening.attributes.get("role") is not None
            assert brought in (_SENT if sent else {*_SENT, *_BY_ITSELF}), happening
            assert happening.at <= event.event_time.ToDatetime(tzinfo=UTC) + timedelta(seconds=1)


_SENT = {
    "workflow_execution_signaled_event_attributes",
    "workflow_execution_update_accepted_event_attributes",
}
_BY_ITSELF = {
    "workflow_execution_started_event_attributes",
    "timer_fired_event_attributes",
    "marker_recorded_event_attributes",
}


async def test_broken_promises_are_events_with_the_moment_that_counts() -> None:
    silent = await scenario("nobody_answers")
    names = [each.activity for each in silent.happenings]
    assert names.index("accept.breached") < names.index("no_answer") < len(names) - 2
    called = await scenario("claimed_and_called")
    levels = [h for h in called.happenings if h.activity == "first_response.escalated"]
    assert [(h.attributes["level"], h.attributes["told"]) for h in levels] == [
        (1, "supervisor"),
        (2, "manager"),
    ]
    stages = [each.attributes["stage"] for each in called.happenings]
    assert (stages[0], stages[-1]) == ("response", "closed")


async def test_no_log_has_personal_data_or_anybodys_words(whole: Archive, tmp_path: Path) -> None:
    mined = await mined_into(whole, tmp_path)
    words = set()
    for path in [*sorted((HISTORIES / "v1").glob("*.json")), CLAIMED]:
        told = await tell(RING, golden(path))
        words |= {told.brief["customer"][name] for name in ("name", "phone", "address")}
        for fact in told.facts:
            words |= {text for text in _texts(fact.sent or {}) if not text.isascii()}
            if fact.line.actor_role is Role.customer and fact.line.actor_id:
                words.add(f'"{fact.line.actor_id}"')
    assert len(words) > 20
    for log in mined.files[:2]:
        content = log.read_text(encoding="utf-8")
        assert not [word for word in words if word in content], log.name
        assert content.isascii(), "somebody's own words"


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for each in content.values():
            yield from _texts(each)
    elif isinstance(content, list):
        for each in content:
            yield from _texts(each)


async def test_nothing_is_logged_that_was_not_declared(whole: Archive) -> None:
    for each in await traces(whole):
        for happening in each.happenings:
            assert set(happening.attributes) <= set(EVENT_ATTRIBUTES[happening.activity])


# --- the command ----------------------------------------------------------------------------------


async def test_figures_and_maps_go_with_the_logs(whole: Archive, tmp_path: Path) -> None:
    mined = await mined_into(whole, tmp_path / "new" / "folder")
    assert [path.name for path in mined.files] == [
        *(f"{MONTH}.xes", f"{MONTH}.ocel.json", f"{MONTH}.summary.json"),
        *(f"{MONTH}.map.en.svg", f"{MONTH}.map.zh-CN.svg"),
    ]
    summary = json.loads(mined.files[2].read_text(encoding="utf-8"))
    assert (summary["requests"], summary["outside_the_model"]) == (7, [])
    assert summary["activities"][BEGIN] == summary["activities"][END] == 7
    follows = {(each["from"], each["to"]): each["count"] for each in summary["follows"]}
    assert follows["responded", "offered"] == 6
    named = {problem["name"]: problem["requests"] for problem in summary["problems"]}
    assert named["Cancelled"] == 3
    assert named["Promise broken: accept"] == named["No answer"] == 1
    assert named["Complaint: Attitude"] == 1
    assert summary["stages"]["service"]["count"] == 6
    shown = list(mining.tables(mined.figures))
    assert list(map(len, shown)) == [len(summary["stages"]), 5, 3]


@pytest.mark.slow(10)
async def test_many_histories_are_told_on_every_core(
    whole: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await mined_into(whole, tmp_path / "here")
    monkeypatch.setattr(parallel, "FEW", 3)
    there = await mined_into(whole, tmp_path / "there")
    assert there.figures.as_json() == here.figures.as_json()
    assert there.unreadable == []


async def test_a_span_of_time_takes_what_was_closed_in_it(whole: Archive, tmp_path: Path) -> None:
    first, *_, last = closed = sorted(each.closed_at for each in whole.manifests)
    later = last + timedelta(seconds=1)
    mined = await mine(whole.store, RING_TEXT, tmp_path, since=first, until=later)
    assert mined.figures.requests == len(closed) == 7
    assert mined.files[0].name == f"{first:%Y-%m-%d}_{later:%Y-%m-%d}.xes"
    mined = await mine(whole.store, RING_TEXT, tmp_path, since=first, until=last)
    assert mined.figures.requests == sum(each < last for each in closed)
    with pytest.raises(NothingThere, match=f"it has {MONTH}"):
        await mine(whole.store, RING_TEXT, tmp_path, since=later)


async def test_an_unreadable_history_is_named_and_skipped(whole: Archive, tmp_path: Path) -> None:
    gone, broken, keyless = whole.manifests[:3]
    whole.path(gone.file).unlink()
    whole.path(broken.file).write_bytes(b"rubbish")
    whole.path(f"keys/{keyless.number}.key").unlink()
    mined = await mined_into(whole, tmp_path)
    assert mined.figures.requests == 4
    why = dict(mined.unreadable)
    assert why.keys() == {gone.number, broken.number, keyless.number}
    assert why[gone.number] == f"{gone.file} is not there"
    assert why[keyless.number] == f"keys/{keyless.number}.key is not there"


def erase(archive: Archive, number: str) -> None:
    last = archive.manifests[-1]
    archive.path(f"keys/{number}.key").unlink()
    entry = Erasure(
        seq=last.seq + 1, month=MONTH, number=number, at=NOW, why="asked", previous=last.hash
    )
    archive.store.put(entry.name, entry.written())


async def test_what_was_erased_is_counted_and_is_no_fault(whole: Archive, tmp_path: Path) -> None:
    erase(whole, whole.manifests[-1].number)
    mined = await mined_into(whole, tmp_path)
    assert (mined.figures.requests, mined.erased, mined.unreadable) == (6, 1, [])


async def test_what_was_erased_is_counted_in_the_span_in_which_it_closed(
    whole: Archive, tmp_path: Path
) -> None:
    first, *others = sorted(whole.manifests, key=lambda each: each.closed_at)
    after = first.closed_at + timedelta(seconds=1)
    assert all(each.closed_at >= after for each in others)
    erase(whole, first.number)
    gone = {others[-1].number}
    mined = await mine(whole.store, RING_TEXT, tmp_path, since=after, erased=gone)
    assert (mined.figures.requests, mined.erased) == (5, 1)
    mined = await mine(whole.store, RING_TEXT, tmp_path, until=after, erased=gone)
    assert (mined.figures.requests, mined.erased) == (0, 1)
    with pytest.raises(NothingThere):
        await mine(whole.store, RING_TEXT, tmp_path, until=first.closed_at, erased=gone)


async def test_what_the_records_call_erased_is_not_told(whole: Archive, tmp_path: Path) -> None:
    number = whole.manifests[0].number
    mined = await mined_into(whole, tmp_path, erased={number})
    assert (mined.figures.requests, mined.erased) == (6, 1)
    assert all(number not in file.read_text(encoding="utf-8") for file in mined.files)


async def test_two_may_mine_into_the_same_folder(whole: Archive, tmp_path: Path) -> None:
    one, other = await asyncio.gather(*(mined_into(whole, tmp_path / "out") for _ in range(2)))
    assert one.files == other.files
    assert not await asyncio.to_thread(lambda: [*(tmp_path / "out").glob("*.part")])
    assert ElementTree.parse(one.files[0]).getroot().tag == f"{XES}log"


async def test_half_a_log_is_not_left_behind(
    whole: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("audit.xes.XesWriter.close", fails)
    with pytest.raises(OSError, match="No space"):
        await mined_into(whole, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


class Said:
    """What a run of the command said, and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(
    whole: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> Callable[..., Coroutine[Any, Any, Said]]:
    monkeypatch.setenv("AFTERSALES_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("AFTERSALES_ARCHIVE_URL", str(whole.folder))
    monkeypatch.setenv("AFTERSALES_DATA_KEYS", RING_TEXT)
    monkeypatch.setattr("audit.parallel.hush", lambda: None)  # It would be for ever.

    async def ran(*arguments: str) -> Said:
        monkeypatch.setattr("sys.argv", ["aftersales", "audit", "mine", "--offline", *arguments])
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(cli.main)
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return ran


async def test_the_command_writes_a_month(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "logs"
    said = await run("--month", MONTH, "--format", "xes", "--out", str(out))
    assert said.code == 0
    assert "in no access log" in said.err
    assert "7 requests" in said.out
    assert "共 7 个服务请求" in said.out
    assert (out / f"{MONTH}.xes").exists()
    assert not (out / f"{MONTH}.ocel.json").exists()


async def test_the_command_fails_when_something_was_skipped(
    run: Any, whole: Archive, tmp_path: Path
) -> None:
    gone = whole.manifests[0]
    whole.path(gone.file).unlink()
    said = await run("--month", MONTH, "--out", str(tmp_path / "logs"))
    assert said.code == 1
    assert f"{gone.number}: skipped 已跳过" in said.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "give --month"),
        (["--month", "2026-13"], 2, "is not a month; write 2026-11"),
        (["--month", MONTH, "--format", "csv"], 2, "use xes or ocel"),
        (["--month", MONTH, "--since", "2026-11-02"], 2, "and --until, not both"),
        (["--month", MONTH, "--until", "2026-11-02"], 2, "and --until, not both"),
        (["--since", "2026-11-03", "--until", "2026-11-02"], 2, "--until must be later than"),
        (["--since", "2026-11-03", "--until", "2026-11-03"], 2, "--until must be later than"),
        (["--since", "0001-01-01"], 2, "does not lie between the years 2000 and 2100"),
        (["--month", "2031-01"], 1, f"The archive holds nothing of that time: it has {MONTH}"),
    ],
)
async def test_the_command_refuses_what_it_cannot_do(
    run: Any, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    said = await run(*arguments, "--out", str(tmp_path / "logs"))
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert not (tmp_path / "logs").exists()


async def test_the_help_says_how_a_time_is_read(run: Any) -> None:
    said = await run("--help")
    assert said.code == 0
    words = re.sub(r"[│\s]+", " ", said.out)
    assert words.count("without an offset it is UTC") == 2


async def test_the_command_says_that_it_cannot_write(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    said = await run("--month", MONTH, "--out", str(tmp_path / "file"))
    assert said.code == 1
    assert "Nothing can be written to" in said.err


async def test_an_empty_archive_says_so(tmp_path: Path) -> None:
    with pytest.raises(NothingThere, match="it is empty"):
        await mine(Store(str(tmp_path / "none")), RING_TEXT, tmp_path, month=MONTH)
