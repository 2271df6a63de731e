"""The event log: each happening is about the very things that the request itself means."""

from io import StringIO

import pytest

from audit.event_log import Trace, trace
from audit.facts import Fact, Place, Told
from audit.ocel import OcelWriter
from audit.xes import XesWriter
from records.sealing import KeyRing
from tests.databases import RING
from tests.pure.builders import Story, given, scores


def logged(story: Story, ring: KeyRing = RING) -> Trace:
    facts = tuple(Fact(line, Place("run", 1)) for line in story.lines)
    return trace(Told(story.request.number, {}, facts, story.now, story.request), ring)


def written(kind: type[XesWriter] | type[OcelWriter], *told: Trace) -> str:
    file = StringIO()
    log = kind(file)
    for each in told:
        log.add(each)
    log.close()
    log.release()
    return file.getvalue()


def complaints(told: Trace, activity: str) -> list[str]:
    """Which complaints the happenings of this name are about, by their places."""
    ids = [id for h in told.happenings if h.activity == activity for id, how in h.things]
    return [id.rpartition("/")[2] for id in ids if "/complaint/" in id]


@pytest.mark.parametrize("later", ["2m", "3m"])
def test_complaints_are_counted_as_the_request_counts_them(later: str) -> None:
    story = given().did("responded", at="2m")
    story.did("complained", text="too late", **{"class": "slow_response"})
    story.did("complained", at=later, text="rude", **{"class": "attitude"})
    story.did("complaint_taken_over").did("complaint_taken_over")
    story.did("remedy_offered", complaint=2, remedy="voucher")
    assert [complaint.id for complaint in story.request.complaints] == [1, 2]
    told = logged(story)
    assert complaints(told, "complained") == ["1", "2"]
    assert complaints(told, "complaint_taken_over") == ["1", "2"]
    assert complaints(told, "remedy_offered") == ["2"]


def test_a_complaint_told_of_later_is_counted_later_though_it_is_older() -> None:
    story = given().did("responded", at="2m")
    story.did("complained", at="8m", text="rude", **{"class": "attitude"})
    earlier = {"occurred_at": "3m", "class": "slow_response"}
    story.did("complained", at="9m", text="too late", **earlier)
    story.did("complaint_taken_over", at="10m", occurred_at="8m").did("complaint_taken_over")
    assert complaints(logged(story), "complaint_taken_over") == ["1", "2"]
    assert complaints(logged(story), "complained") == ["1", "2"]


def test_what_a_survey_or_the_request_itself_complains_of_counts_too() -> None:
    survey = given().walked("surveyed", surveyed={"scores": scores(1)})
    survey.did("complained", text="and rude", **{"class": "attitude"})
    assert [complaint.source for complaint in survey.request.complaints] == ["survey", "complaint"]
    assert complaints(logged(survey), "complained") == ["2"]
    intake = given(type="complaint")
    intake.did("complained", text="and rude", **{"class": "attitude"})
    assert complaints(logged(intake), "complained") == ["2"]


def test_a_model_is_known_by_an_index_and_not_by_what_the_customer_called_it() -> None:
    def of(model: str, ring: KeyRing = RING) -> Trace:
        return logged(given(product={"model": model, "serial": "S1"}).walked("surveyed"), ring)

    def model_of(told: Trace) -> str:
        (model,) = (thing for thing in told.things if thing.type == "product_model")
        assert (model.id, "concerns") in told.things[0].related
        return model.id

    named = of("Zhang's, call 13812345678")
    for kind in (XesWriter, OcelWriter):
        log = written(kind, named)
        assert "Zhang" not in log
        assert "13812345678" not in log
    again, another = of("Zhang's, call 13812345678"), of("KFR-35")
    assert model_of(named) == model_of(again) != model_of(another)
    elsewhere = of("KFR-35", KeyRing.read(KeyRing.make("other")))
    assert model_of(another) != model_of(elsewhere), "whoever guesses could find it out"
