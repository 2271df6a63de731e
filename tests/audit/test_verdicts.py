"""The verdict on every promise: in JSON, on the terminal, and as a report for a file."""

import base64
import json
import re
import sys
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from string import Formatter
from typing import Any, get_args

import pytest
from rich.cells import cell_len
from rich.console import Console

import cli
from activities.messages import Language
from audit import inspection, tables
from audit.event_names import EVENT_NAMES
from audit.faults import Fault, Finding
from audit.inspection import Inspection, inspect
from audit.keys import key_file
from audit.manifests import Erasure, public_key
from audit.report import render
from audit.verdicts import by_rule
from audit.wording import FAULTS, LISTS, STANDINGS, TEXT, Count, span
from domain.clocks import Ticking
from domain.policy import Circumstances, Policy, Terms
from domain.rules import Rule
from runtime.settings import STANDARD_POLICY
from runtime.trouble import Trouble
from tests.audit.test_tampering import KEY, MONTH, NOW, Archive
from tests.databases import RING_TEXT

VOID = {"meta", "input", "br"}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


async def inspected(archive: Archive, number: str | None = None) -> Inspection:
    month = None if number else MONTH
    return await inspect(archive.store, RING_TEXT, [public_key(KEY)], number=number, month=month)


async def test_every_promise_has_its_verdict_and_its_evidence(archive: Archive) -> None:
    result = await inspected(archive)
    assert result.findings == []
    shown = json.loads("".join(result.as_json()))
    for request in shown["requests"]:
        promises = request["promises"]
        assert {"first_response", "solution_feedback"} <= {each["rule"] for each in promises}
        for each in promises:
            assert each["constraint"].startswith("response(")
            places = {name: proof["event"] for name, proof in each["evidence"].items()}
            assert all(1 <= place <= request["events"] for place in places.values())
            assert (each["done_at"] is not None) == (each["standing"] in ("kept", "late"))
    (accepted,) = (each for each in shown["rules"] if each["rule"] == "accept")
    assert (accepted["kept"], accepted["breached"]) == (5, 1)
    assert accepted["share_kept"] == pytest.approx(5 / 6)
    (arrival,) = (each for each in by_rule(result.judged) if each.rule is Rule.arrival)
    assert (arrival.target, arrival.misses_target) == (0.95, False)


async def test_a_build_whose_rule_became_sixteen_minutes_is_caught(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's replayer is content with it: nothing but what it promised is another."""
    promised = Policy.terms

    def drifted(self: Policy, rule: Rule, now: Circumstances) -> Terms | None:
        terms = promised(self, rule, now)
        return terms._replace(goal=terms.goal * 16 / 15) if terms and rule is Rule.accept else terms

    monkeypatch.setattr(Policy, "terms", drifted)
    number = archive.manifests[1].number
    result = await inspected(archive, number)
    faults = {finding.fault for finding in result.findings}
    assert faults == {Fault.rules_differ, Fault.promise_differs}
    details = [f.detail for f in result.findings if f.fault is Fault.promise_differs]
    assert any(each.startswith("accept 1 (#") and "due recorded" in each for each in details)
    report = "".join(render(result, "en"))
    assert report.index('id="faults"') < report.index('id="proves"')
    assert FAULTS[Fault.promise_differs][0] in report


NOT_LOGGED = "This is in no access log. 本次查阅未记入访问日志。\n"


class Page(HTMLParser):
    """What a page is made of; every element must be closed in its order."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.outside: list[str] = []
        self.language = ""
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "html":
            self.language = given["lang"] or ""
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag == "a":
            self.links.append(given["href"] or "")
        self.outside += [value or "" for name, value in attrs if name in ("src", "action")]
        if tag in ("script", "link", "iframe"):
            self.outside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("width", [60, 80, 100, 140, 180])
async def test_no_width_cuts_what_a_terminal_is_told(archive: Archive, width: int) -> None:
    archive.path(archive.manifests[2].file).unlink()
    result = await inspected(archive)
    sheets = [
        inspection.table(result),
        tables.rules(result.judged),
        *map(tables.promises, result.judged),
    ]
    printed = StringIO()
    Console(width=width, file=printed, markup=False).print(*sheets)
    told = printed.getvalue()
    assert "…" not in told
    assert all(cell_len(line) <= width for line in told.splitlines())
    words = told.split()
    for verdict in result.verdicts:
        assert verdict.manifest.number in words
        for promise in verdict.judged.promises if verdict.judged else ():
            assert promise.rule in words
            assert STANDINGS[promise.standing][0] in words
    assert f"{Fault.history_missing}:" in words


@pytest.mark.parametrize("language", get_args(Language))
async def test_the_report_stands_alone_and_every_link_leads_somewhere(
    archive: Archive, language: Language
) -> None:
    result = await inspected(archive)
    report = "".join(render(result, language))
    page = Page(report)
    assert page.language == language
    assert page.outside == []
    assert "url(" not in report.replace("url(#", "")
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    for verdict in result.verdicts:
        assert verdict.manifest.number in page.ids
        start = report.index(f'<article id="{verdict.manifest.number}"')
        part = report[start : report.index("</article>", start)]
        cited = {int(event) for event in re.findall(r">#(\d+)<", part)}
        assert cited
        assert max(cited) <= verdict.manifest.events
    assert public_key(KEY) in report
    ours, theirs = STANDINGS[Ticking.kept]
    assert (theirs if language == "zh-CN" else ours) in report


@pytest.mark.parametrize("language", get_args(Language))
async def test_a_report_says_no_more_than_was_looked_at(
    archive: Archive, language: Language
) -> None:
    """Of one request neither the month's chain nor its signature is."""
    zh = language == "zh-CN"
    of_the_chain = [*LISTS["month_proves"][zh], LISTS["month_proves_not"][zh][0]]
    said = LISTS["request_proves"][zh] + LISTS["request_proves_not"][zh]
    one = "".join(render(await inspected(archive, archive.manifests[0].number), language))
    assert all(each in one for each in (*said, TEXT["not_looked_at"][zh]))
    assert not any(each in one for each in of_the_chain)
    assert 'id="only"' not in one
    month = "".join(render(await inspected(archive), language))
    assert all(each in month for each in LISTS["month_proves"][zh])
    assert not any(each in month for each in said)


async def test_a_months_requests_stand_in_the_order_of_the_chain_and_it_says_so(
    archive: Archive,
) -> None:
    report = "".join(render(await inspected(archive), "en"))
    table = report[report.index(TEXT["in_order"][0]) :]
    rows = re.findall(
        r'<td class="n">(\d+)</td><th scope="row" class="t"><a href="#(CR.*?)"', table
    )
    assert rows == [(str(each.seq), each.number) for each in archive.manifests]


async def test_a_month_without_its_signature_is_not_called_young(archive: Archive) -> None:
    archive.path(f"{MONTH}/head.json").unlink()
    result = await inspected(archive)
    result.stray.append(Finding(Fault.head_missing, MONTH, "the month is over"))
    assert TEXT["head_lost"][0] in "".join(render(result, "en"))
    result.stray.clear()
    assert TEXT["no_head"][0] in "".join(render(result, "en"))


@pytest.mark.parametrize("whole", [True, False])
async def test_what_was_erased_is_said_to_be_when_and_why(archive: Archive, whole: bool) -> None:
    last, number = archive.manifests[-1], archive.manifests[0].number
    entry = Erasure(
        seq=last.seq + 1,
        month=MONTH,
        previous=last.hash,
        number=number,
        at=NOW,
        why="retention",
    )
    archive.store.put(entry.name, entry.written())
    archive.path(key_file(number)).unlink()
    result = await inspected(archive, None if whole else number)
    assert result.findings == []
    report = "".join(render(result, "en"))
    assert "Erased at 2026-11-30 16:00:00 UTC, because it was older than records are" in report
    assert f"{5 if whole else 0} requests verified." in report
    # What is not opened proves nothing of what its code does.
    assert LISTS["request_replayed"][0][0] not in report


@pytest.mark.parametrize("language", get_args(Language))
async def test_a_months_report_has_the_map_of_its_process(
    archive: Archive, language: Language
) -> None:
    result = await inspected(archive)
    report = "".join(render(result, language))
    drawn, *others = re.findall(r"<svg .*?</svg>", report, re.DOTALL)
    assert others
    requests = len(archive.manifests)
    assert result.figures.requests == requests
    assert f"{EVENT_NAMES['received'] if language == 'en' else 'Received'} · {requests}<" in drawn
    assert TEXT["process_fits"][language == "zh-CN"].format(count=Count(requests)) in report
    (style,) = re.findall(r"<style>(.*?)</style>", drawn, re.DOTALL)
    selectors = re.findall(r"(?:^|})\s*([^{]+){", style)
    assert selectors
    assert all(each.startswith(".process-map ") for each in selectors), "it would style the page"


def test_a_month_that_the_archive_never_had_is_not_called_sound(says: Any) -> None:
    code, told = says("verify", "--month", "2031-01", "--json")
    assert (code, told) == (
        1,
        f"Error: The archive holds nothing of that time: it has {MONTH}.\n",
    )


async def test_a_long_report_begins_with_what_needs_to_be_looked_at(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = await inspected(archive)
    report = "".join(render(result, "en"))
    assert 'id="only">' in report
    fine = report.count('<article id="CR') - report.count('" class="fine" aria')
    assert f"Shown: {fine} of {len(archive.manifests)} requests, those with a fault" in report
    monkeypatch.setattr("audit.report.MANY", 3)
    assert 'id="only" checked>' in "".join(render(result, "en"))


async def test_a_report_on_one_request_has_no_map(archive: Archive) -> None:
    result = await inspected(archive, archive.manifests[0].number)
    assert result.figures.requests == 1
    assert 'id="process"' not in "".join(render(result, "en"))


async def test_a_request_outside_the_model_is_named(archive: Archive) -> None:
    result = await inspected(archive)
    number = archive.manifests[2].number
    result.figures.unfitting.append((number, "step 2, signed: <not> in the model"))
    report = "".join(render(result, "en"))
    assert f'<li><a href="#{number}">{number}</a>: step 2, signed: &lt;not&gt; in the' in report
    assert f"1 of {len(archive.manifests)} requests left the process model" in report
    assert f"{number}: outside the process model" in "\n".join(tables.lines(result))
    assert json.loads("".join(result.as_json()))["outside_the_model"] == [
        {"request": number, "where": "step 2, signed: <not> in the model"}
    ]


async def test_what_is_in_a_history_is_escaped(archive: Archive) -> None:
    result = await inspected(archive, archive.manifests[0].number)
    result.asked = "<script>"
    assert "<script>" not in "".join(render(result, "en"))


def fields(text: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(text) if name]


def test_every_word_is_there_in_both_languages() -> None:
    assert set(FAULTS) == set(Fault)
    assert set(STANDINGS) == set(Ticking)
    for english, chinese in (*TEXT.values(), *FAULTS.values(), *STANDINGS.values()):
        assert english
        assert re.search(r"[\u4e00-\u9fff]", chinese)
        assert sorted(fields(english)) == sorted(fields(chinese))
    assert all(len(english) == len(chinese) for english, chinese in LISTS.values())


async def test_one_is_no_more_than_one(archive: Archive) -> None:
    """Of one request, and of one with a single fault."""
    number = archive.manifests[2].number
    assert "1 request verified." in "".join(render(await inspected(archive, number), "en"))
    archive.path(archive.manifests[2].file).unlink()
    result = await inspected(archive, number)
    assert list(inspection.lines(result))[-1].startswith("1 request, 1 fault. 共 1 个")
    report = "".join(render(result, "en"))
    assert "1 fault found" in report
    assert not re.search(r"\b1 (requests|faults|runs|entries|history events)\b", report)
    assert f"{Count(2):entry|entries}, {Count(0):fault}, {Count(1)}" == "2 entries, 0 faults, 1"


@pytest.mark.parametrize(
    ("seconds", "said", "roughly", "zh"),
    [
        (0, "0 s", "0 s", "0 秒"),
        (0.43, "0.4 s", "0.4 s", "0.4 秒"),
        (59.96, "1 min", "1 min", "1 分钟"),
        (600, "10 min", "10 min", "10 分钟"),
        (5400, "1 h 30 min", "1.5 h", "1 小时 30 分钟"),
        (172800, "48 h", "48 h", "48 小时"),
        (432000, "5 d", "5 d", "5 天"),
    ],
)
def test_a_length_of_time_reads_well(seconds: float, said: str, roughly: str, zh: str) -> None:
    assert (span(seconds), span(seconds, roughly=True), span(seconds, zh=True)) == (
        said,
        roughly,
        zh,
    )


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def says(
    archive: Archive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """Run `aftersales audit` on the archive: its exit code, and what it printed."""
    settings = {
        "DATA_DIR": str(tmp_path / "data"),
        "ARCHIVE_URL": str(archive.folder),
        "DATA_KEYS": RING_TEXT,
        "SIGNING_KEY": base64.b64encode(KEY.private_bytes_raw()).decode(),
        "LANGUAGE": "zh-CN",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"AFTERSALES_{name}", value)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int | str | None, str]:
        monkeypatch.setattr(sys, "argv", ["aftersales", "audit", *arguments, "--offline"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err.replace(NOT_LOGGED, "")

    return run


def test_one_request_is_told_promise_by_promise(archive: Archive, says: Any) -> None:
    code, told = says("verify", archive.manifests[4].number)
    assert code == 0
    for word in ("first_response 响应需求", "breached 超时", "GY2024003", "#11 #28"):
        assert word in re.sub(r"\s*│\s*", " ", told) or word.split()[0] in told
    assert "not compared with the records" in told


def test_a_month_is_summed_by_rule_and_written_as_a_report(
    archive: Archive, tmp_path: Path, says: Any
) -> None:
    code, told = says("verify", "--month", MONTH, "--html", "report.html")
    assert code == 0
    assert "83.3%" in told
    assert 'lang="zh-CN"' in (tmp_path / "report.html").read_text(encoding="utf-8")
    more = ("--html", "report.html", "--language", "en", "--json")
    code, told = says("verify", "--month", MONTH, *more)
    assert json.loads(told)["sound"] is True
    assert 'lang="en"' in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_it_may_be_said_how_many_processes_work(
    archive: Archive, says: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(STANDARD_POLICY.read_text(encoding="utf-8"), encoding="utf-8")
    asked: list[int | None] = []

    def on_every_core(_: Any, sources: Any, __: str, processes: int | None) -> Any:
        asked.append(processes)
        list(sources)
        return aiter_of_nothing()

    async def aiter_of_nothing() -> AsyncIterator[Any]:
        for each in list[Any]():
            yield each

    for module in ("parallel", "what_if", "mining"):
        monkeypatch.setattr(f"audit.{module}.on_every_core", on_every_core)
    for command in (["verify"], ["what-if", "--policy", str(other)], ["mine", "--out", "logs"]):
        says(*command, "--month", MONTH, "--processes", "3")
    assert asked == [3, 3, 3]


def test_a_long_month_lists_on_a_terminal_what_has_a_fault(
    archive: Archive, says: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "MANY", 3)
    code, told = says("verify", "--month", MONTH)
    assert code == 0
    assert not any(each.number in told for each in archive.manifests)
    assert f"{len(archive.manifests)} requests, 0 faults" in told
    gone, *others = archive.manifests
    archive.path(gone.file).unlink()
    code, told = says("verify", "--month", MONTH)
    assert code == 1
    assert gone.number in told
    assert "只列出有问题的" in told
    assert not any(each.number in told for each in others)


def test_an_archive_that_does_not_answer_is_one_sentence(
    says: Any, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERSALES_ARCHIVE_URL", str(archive.path(f"{MONTH}/head.json")))
    other = tmp_path / "other.toml"
    other.write_text(STANDARD_POLICY.read_text(encoding="utf-8"), encoding="utf-8")
    for command in (["verify"], ["mine"], ["what-if", "--policy", str(other)]):
        ended, told = says(*command, "--month", MONTH)
        assert (ended, told.strip().count("\n")) == (1, 0)
        assert "The archive does not answer" in told
        assert "AFTERSALES_ARCHIVE_URL" in told


def test_a_report_that_cannot_be_written_is_seen_before_the_work(
    says: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[str] = []

    async def work(*_: Any, month: str, **__: Any) -> Inspection:
        worked.append(month)
        raise Trouble("enough")

    monkeypatch.setattr(inspection, "inspect", work)
    code, told = says("verify", "--month", MONTH, "--html", "no/such/folder.html")
    assert (code, worked) == (1, [])
    assert "cannot be written" in told
    (tmp_path / "old.html").write_text("the last report", encoding="utf-8")
    for file in ("old.html", "new.html"):
        says("verify", "--month", MONTH, "--html", file)
    assert worked == [MONTH, MONTH]
    assert (tmp_path / "old.html").read_text(encoding="utf-8") == "the last report"
    assert not (tmp_path / "new.html").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["verify"], 2, "--month"),
        (["verify", "--month", "2026-13"], 2, "is not a month"),
        (["verify", "--month", MONTH, "--language", "fr"], 2, "not a language"),
        (["verify", "--month", MONTH, "--html", "no/such/folder.html"], 1, "cannot be written"),
    ],
)
def test_misuse_is_one_sentence(says: Any, arguments: list[str], code: int, said: str) -> None:
    ended, told = says(*arguments)
    assert ended == code
    assert said in told
    assert told.strip().count("\n") == 0


def test_a_fault_ends_it_with_one_and_a_broken_promise_does_not(
    archive: Archive, says: Any
) -> None:
    archive.path(archive.manifests[2].file).unlink()
    code, told = says("verify", "--month", MONTH, "--json")
    assert code == 1
    assert json.loads(told)["sound"] is False
