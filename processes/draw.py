"""Draws `service_request.bpmn`: `make process`.

The names, durations and ladders come from the domain and the standard policy; what leads where and
where it stands on the page is here. A test compares the result with the committed file and with the
domain, and replays recorded histories on it.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

from audit.event_names import both
from domain.events import EVENTS
from domain.policy import Override, Policy, RulePolicy, read_policy
from domain.rules import PROMISES, Rule
from domain.vocabulary import Role, Stage
from processes.diagram import Diagram, Shape

HERE = Path(__file__).parent
FILE = HERE / "service_request.bpmn"
STANDARD = HERE.parent / "policies" / "standard.toml"

ON_THE_SIDE = ("noted", "task_claimed", "task_released", "task_reassigned", "breach_called")
COMPLAINS = ("complained", "complaint_reopened")

ABOUT = """\
One service request, from first contact to archive. Each stage is a sub-process, each event that can
be reported a message. Each timing rule is a timer on the border of what it watches over; timers do
not interrupt, because a promise that was broken is still to be kept. Only an offer that nobody
answers ends. Durations are the standard's; policy:… names those that the policy computes."""

Spot = tuple[float, float]


class Process(Diagram):
    """The service request's process."""

    def __init__(self, policy: Policy) -> None:
        super().__init__("service_request", "服务请求 Service request", ABOUT)
        self._policy = policy
        self._clocks = 0

    def receives(self, event: str, at: Spot, id: str = "", name: str = "") -> Shape:
        """A task that is over when this event is reported."""
        message = self.brings(event)
        return self.task(
            "receiveTask", id or event, name or both(event), at, _about(event), messageRef=message
        )

    def brings(self, *events: str, id: str = "", name: str = "") -> str:
        """The message that brings one of these events."""
        return self.message(f"message_{id or events[0]}", name or events[0], events)

    def clock(self, rule: Rule, on: Shape, at: Spot, *, again: bool = False) -> None:
        """The rule's timer on the border of a box, and who is told when it fires.

        Args:
            again: the same promise, still running in another stage.
        """
        id = f"{on.id}_{rule}" if again else f"clock_{rule}"
        terms = self._policy.rules[rule]
        x, y = at
        timer = self.boundary(
            id,
            self.clock_name(rule),
            on,
            at,
            interrupts=False,
            timer=self.due(rule),
            label=(x + 14, y + 20, 130),
            documentation=_variants(terms),
        )
        self.promises(timer, rule)
        told = self.end(
            f"{id}_told", _told(terms), (x, y + 78), message=True, label=(x + 24, y + 66, 130)
        )
        self.flow(timer, told)

    def promises(self, shape: Shape, rule: Rule) -> None:
        """Say what the timer of this rule counts, and from when to when."""
        promise = PROMISES[rule]
        words = {
            "rule": rule.value,
            "starts": " ".join(sorted(promise.starts)),
            "stops": " ".join(sorted(promise.stops)),
            "owed_by": promise.owed_by.value,
        }
        self.extend(shape, "promise", words)

    def when(self, shape: Shape, *events: str) -> None:
        """Say after which events the shape's condition may have become true."""
        for event in events:
            self.extend(shape, "when", {"event": event})

    def clock_name(self, rule: Rule) -> str:
        """The rule's id, what the standard calls it, and how long it allows."""
        due = self.due(rule)
        length = f" {due[2:].lower()}" if due.startswith("PT") else ""
        return f"{rule} {PROMISES[rule].zh}{length}"

    def due(self, rule: Rule) -> str:
        """How long the rule's clock runs: ISO 8601, or where the policy says it."""
        terms = self._policy.rules[rule]
        if rule is Rule.arrival or terms.working_days or not isinstance(terms.goal, timedelta):
            return f"policy:rules.{rule}"
        return iso(terms.goal)


def draw(policy: Policy) -> str:
    """The process under a policy, as BPMN 2.0 XML."""
    p = Process(policy)
    received = p.start(
        "received",
        both("received"),
        (-40, 255),
        message=p.message("message_request", "a new request", ()),
        label=(-85, 280, 90),
    )
    kind = p.gateway("which_type", (70, 255), "投诉类? A complaint?")
    kind.label = (-10, 205, 90)
    p.flow(received, kind)

    fulfilment = _fulfilment(p)
    p.flow(kind, fulfilment, name="否 no", label=(105, 236))

    sign_off = _sign_off(p)
    p.flow(fulfilment, sign_off, (2280, 850), name="")
    revisit = _revisit(p)
    to_revisit = p.gateway("to_revisit", (2285, 320))
    p.flow(sign_off, to_revisit, (2400, 640), (2285, 640))
    p.flow(to_revisit, revisit)
    answered = p.boundary(
        "was_answered",
        both("answered"),
        fulfilment,
        (2230, 320),
        interrupts=True,
        escalation=p.escalation("escalation_answered", "answered"),
        label=(2130, 290, 84),
    )
    p.flow(answered, to_revisit)

    ending = p.gateway("ending", (3010, 320))
    open_complaints = p.gateway("open_complaints", (3100, 320), "投诉未结? Complaints open?")
    archive = p.gateway("archive", (3200, 320))
    closed = p.end(
        "closed",
        "归档 Closed",
        (3290, 320),
        documentation="Every record is kept.",
        label=(3255, 344, 70),
    )
    p.extend(closed, "stage", {"name": Stage.closed.value})
    p.flow(revisit, ending)
    p.flow(ending, open_complaints)
    p.flow(open_complaints, archive, name="否 no", label=(3134, 300))
    p.flow(archive, closed)
    cancelled = p.boundary(
        "cancelled",
        both("cancelled"),
        fulfilment,
        (1330, 1430),
        interrupts=True,
        message=p.brings("cancelled"),
        label=(1350, 1442, 110),
        documentation=_about("cancelled"),
    )
    p.flow(cancelled, ending, (1330, 1560), (3010, 1560))

    complaint = _complaint_stage(p)
    to_complaint = p.gateway("to_complaint", (2330, 1265))
    p.flow(
        open_complaints, to_complaint, (3100, 1130), (2330, 1130), name="是 yes", label=(3108, 360)
    )
    p.flow(to_complaint, complaint)
    p.flow(complaint, archive, (3200, 1265))
    dissatisfied = p.escalation("escalation_dissatisfied", "dissatisfied")
    came = p.throw(
        "came_dissatisfied",
        "不满 Dissatisfied",
        (200, 1620),
        escalation=dissatisfied,
    )
    p.flow(kind, came, (70, 1620), name="是 yes", label=(78, 300))
    p.flow(came, to_complaint, (2285, 1620), (2285, 1265))

    _complaint_case(p, dissatisfied)
    _on_the_side(p)
    return p.written()


# --- response, dispatch, appointment, service 响应、派单、预约、服务 ------------------------------


def _fulfilment(p: Process) -> Shape:
    with p.box("fulfilment", "履约 Fulfilment", (170, 50), (2060, 1380)) as box:
        start = p.start("begun", "开始 Begun", (220, 255))
        response = _response(p)
        dispatch = _dispatch(p)
        appointment = _appointment(p)
        service = _service(p)
        p.flow(start, response)

        to_dispatch = p.gateway("to_dispatch", (930, 470))
        p.flow(response, to_dispatch)
        p.flow(to_dispatch, dispatch)
        stands = p.gateway("window_stands", (1060, 745), "已有预约? Window stands?")
        stands.label = (1068, 682, 110)
        p.flow(dispatch, stands)
        to_appointment = p.gateway("to_appointment", (1060, 1040))
        p.flow(stands, to_appointment, name="否 no", label=(1066, 782))
        p.flow(to_appointment, appointment, (930, 1040))
        to_service = p.gateway("to_service", (1130, 745))
        p.flow(stands, to_service, name="是 yes", label=(1080, 752))
        p.flow(appointment, to_service, (1130, 1130))
        p.flow(to_service, service)

        for stage, at, via in (
            (appointment, (1000, 1190), ((1030, 1190), (1030, 470))),
            (service, (1190, 470), ()),
        ):
            x, y = at
            reassigned = p.boundary(
                f"reassigned_in_{stage.id.removeprefix('stage_')}",
                "改派 Reassigned",
                stage,
                at,
                interrupts=True,
                message=p.brings("assigned"),
                label=(x + 36, y - 4, 70) if stage is appointment else (x + 22, y - 24, 70),
                documentation=_about("assigned"),
            )
            p.flow(reassigned, to_dispatch, *(via or ((1100, 470),)))

        _back_to_appointment(p, service, to_appointment)
        _awaits_parts(p, service)

        done = p.end("completed_work", "完工 Completed", (2175, 850), terminate=True)
        p.flow(service, done)
        _hold(p)
        for event, corner in (("plan_told", (1960, 1170)), ("reclassified", (1960, 1300))):
            _noticed(p, event, corner)
    for rule, x in (
        (Rule.solution_feedback, 340),
        (Rule.appointment, 560),
        (Rule.on_site, 780),
        (Rule.resolution, 1000),
    ):
        p.clock(rule, box, (x, 1430))
    return box


def _response(p: Process) -> Shape:
    with _stage(p, Stage.response, (270, 100), (730, 310)) as box:
        start = p.start("response_begun", "待响应 To respond", (310, 200))
        again = p.gateway("still_to_respond", (380, 200))
        news = p.gateway("response_news", (450, 200), kind="eventBased")
        responded = p.receives("responded", (580, 200))
        reclassified = p.receives("reclassified", (580, 280), "reclassified_first")
        answered = p.receives("answered", (580, 360))
        said = p.gateway("someone_spoke", (690, 200))
        consultation = p.gateway("consultation", (780, 200), "咨询? Only a question?")
        ordered = p.end("work_order", "工单 Work order", (930, 200))
        told = p.end(
            "question_answered",
            "已答复 Answered",
            (780, 360),
            escalation=p.escalation("escalation_answered", "answered"),
            label=(805, 350, 90),
        )
        p.flow(start, again)
        p.flow(again, news)
        for task in (responded, reclassified, answered):
            p.flow(news, task)
        p.flow(responded, said)
        p.flow(reclassified, said)
        p.flow(answered, told)
        p.flow(said, consultation)
        p.flow(consultation, ordered, name="否 no", label=(830, 182))
        p.flow(consultation, again, (780, 145), (380, 145), name="是 yes", label=(700, 128))
    p.clock(Rule.first_response, box, (340, 410))
    p.clock(Rule.consultation, box, (580, 410))
    return box


def _dispatch(p: Process) -> Shape:
    with _stage(p, Stage.dispatch, (270, 530), (730, 430)) as box:
        start = p.start("dispatch_begun", "待派单 To dispatch", (310, 610))
        again = p.gateway("to_offer", (380, 610))
        offer = p.task(
            "serviceTask",
            "offered",
            both("offered"),
            (590, 610),
            "Offer the work to the engineer who was assigned, or whom the matching finds: "
            "qualified, near, with room for more, and not asked before.",
        )
        found = p.gateway("found", (470, 610), "有人可派? Anybody?")
        news = p.gateway("offer_news", (690, 610), kind="eventBased")
        accepted = p.receives("accepted", (820, 610))
        declined = p.receives("declined", (820, 690))
        other = p.receives(
            "assigned", (820, 770), "assigned_to_another", "改派 Assigned to another"
        )
        silence = p.catch(
            f"clock_{Rule.accept}",
            p.clock_name(Rule.accept),
            (820, 850),
            timer=p.due(Rule.accept),
            documentation="No answer: recorded against the engineer, and the next one is asked.",
        )
        p.promises(silence, Rule.accept)
        by_hand = p.receives("assigned", (480, 710))
        taken = p.end("work_taken", "已接单 Taken", (955, 610))
        p.flow(start, again)
        p.flow(again, found)
        p.flow(found, offer, name="是 yes", label=(492, 592))
        p.flow(found, by_hand, (470, 680), name="否 no", label=(476, 646))
        p.flow(offer, news)
        for answer in (accepted, declined, other, silence):
            p.flow(news, answer)
        p.flow(accepted, taken)
        p.flow(by_hand, again, (380, 710))
        for back in (declined, other, silence):
            p.flow(back, again, (910, back.at.y), (910, 920), (380, 920))
    p.clock(Rule.dispatch, box, (340, 960))
    p.clock(Rule.arrival, box, (580, 960), again=True)
    return box


def _appointment(p: Process) -> Shape:
    with _stage(p, Stage.appointment, (270, 1100), (730, 120)) as box:
        start = p.start("appointment_begun", "待预约 To agree", (310, 1160))
        appointed = p.receives("appointed", (580, 1160))
        agreed = p.end("window_agreed", "已预约 Agreed", (900, 1160))
        p.flow(start, appointed)
        p.flow(appointed, agreed)
    p.clock(Rule.appointment_call, box, (440, 1220))
    return box


def _service(p: Process) -> Shape:
    with _stage(p, Stage.service, (1190, 100), (930, 830)) as box:
        start = p.start("service_begun", "待服务 To serve", (1240, 570))
        again = p.gateway("next_step", (1310, 570))
        there = p.gateway("in_place", (1390, 570), "到场、远程或送修? There, remote or depot?")
        there.label = (1400, 590, 60)
        way = p.gateway("way_news", (1470, 210), kind="eventBased")
        work = p.gateway("work_news", (1470, 570), kind="eventBased")
        p.flow(start, again)
        p.flow(again, there)
        p.flow(there, way, (1390, 210), name="否 no", label=(1396, 500))
        p.flow(there, work, name="是 yes", label=(1418, 552))
        on_the_way = ("departed", "running_late", "rescheduled", "arrived")
        at_work = ("diagnosed", "quoted", "quote_approved", "quote_declined")
        for gateway, events in ((way, on_the_way), (work, at_work)):
            for place, event in enumerate(events):
                task = p.receives(event, (1600, gateway.at.y + 72 * place))
                p.flow(gateway, task)
                p.flow(task, again, (1700, task.at.y), (1700, 150), (1310, 150))
        completed = p.receives("completed", (1600, 858))
        p.flow(work, completed)
        ready = p.end("work_done", "完工 Done", (1760, 858), terminate=True, label=(1785, 848, 70))
        p.flow(completed, ready)
        _depot(p)
    p.clock(Rule.arrival, box, (1250, 930))
    x, y = 1900, 100
    reminder = p.boundary(
        "visit_reminder",
        "visit_reminder 上门前提醒",
        box,
        (x, y),
        interrupts=False,
        timer="policy:reminder_before",
        label=(x - 122, y - 36, 100),
        documentation="Before the window opens, customer and engineer are reminded.",
    )
    p.extend(reminder, "reminder", {"name": "visit_reminder"})
    reminded = p.end("reminded", "已提醒 Reminded", (2040, 74), message=True, label=(2064, 66, 110))
    p.flow(reminder, reminded, (x, 74))
    return box


def _depot(p: Process) -> None:
    with p.box("depot", "送修 Depot repair", (1760, 190), (330, 300), by_event=True):
        start = p.start(
            "depot_received",
            both("depot_received"),
            (1800, 290),
            interrupts=False,
            message=p.brings("depot_received"),
            documentation=_about("depot_received"),
        )
        back = p.receives("shipped_back", (1920, 290))
        home = p.end("product_back", "已返还 Returned", (2040, 290))
        p.flow(start, back)
        p.flow(back, home)
        p.clock(Rule.depot_repair, back, (1890, 320))


def _back_to_appointment(p: Process, service: Shape, to_appointment: Shape) -> None:
    """What takes an appointment away: a new one is agreed with the same engineer."""
    lost = p.gateway("appointment_lost", (1480, 1040))
    for event, x in (("no_show", 1400), ("visit_needed", 1480)):
        gone = p.boundary(
            event,
            both(event),
            service,
            (x, 930),
            interrupts=True,
            message=p.brings(event),
            label=(x + 20, 946, 56),
            documentation=_about(event),
        )
        p.flow(gone, lost)
    passed = p.boundary(
        "window_passed",
        "时段已过 Window passed",
        service,
        (1580, 930),
        interrupts=True,
        conditional="the window closed while the request was on hold",
        label=(1600, 946, 60),
    )
    p.when(passed, "resumed", "parts_arrived", HOLD_ENDS)
    p.flow(passed, lost)
    p.flow(lost, to_appointment)


HOLD_ENDS = "hold_ends"


def _awaits_parts(p: Process, service: Shape) -> None:
    awaited = p.boundary(
        "parts_awaited",
        both("parts_awaited"),
        service,
        (1700, 930),
        interrupts=False,
        message=p.brings("parts_awaited"),
        label=(1720, 946, 90),
        documentation=_about("parts_awaited"),
    )
    again = p.gateway("parts_on_order", (1700, 1040))
    news = p.gateway("parts_news", (1780, 1040), kind="eventBased")
    arrived = p.receives("parts_arrived", (1920, 1000))
    resumed = p.receives("resumed", (1920, 1080), "resumed_without_parts")
    there = p.end("parts_there", "到件 Parts there", (2060, 1000))
    p.flow(awaited, again)
    p.flow(again, news)
    p.flow(news, arrived)
    p.flow(news, resumed)
    p.flow(arrived, there)
    p.flow(resumed, again, (1920, 1130), (1700, 1130))


def _hold(p: Process) -> None:
    with p.box("hold", "暂停 On hold", (1440, 1170), (480, 230), by_event=True):
        held = p.start(
            "held",
            both("held"),
            (1480, 1285),
            interrupts=False,
            message=p.brings("held"),
            documentation=_about("held"),
        )
        news = p.gateway("hold_news", (1570, 1285), kind="eventBased")
        resumed = p.receives("resumed", (1700, 1235))
        until = p.catch(HOLD_ENDS, "期满 Its end", (1700, 1335), timer="policy:held.until")
        over = p.gateway("hold_over", (1800, 1285))
        goes_on = p.end("goes_on", "继续 Goes on", (1875, 1285))
        p.flow(held, news)
        p.flow(news, resumed)
        p.flow(news, until)
        p.flow(resumed, over)
        p.flow(until, over)
        p.flow(over, goes_on)


def _noticed(p: Process, event: str, corner: Spot) -> None:
    """Something that leaves the request where it is, and may happen again and again."""
    x, y = corner
    with p.box(f"along_the_way_{event}", both(event), corner, (240, 105), by_event=True):
        start = p.start(
            event,
            both(event),
            (x + 50, y + 50),
            interrupts=False,
            message=p.brings(event),
            documentation=_about(event),
        )
        end = p.end(f"{event}_taken", "已记录 Kept", (x + 170, y + 50))
        p.flow(start, end)


# --- sign-off, revisit, complaint 签字、回访、投诉 ------------------------------------------------


def _sign_off(p: Process) -> Shape:
    with _stage(p, Stage.sign_off, (2330, 700), (630, 310)) as box:
        start = p.start("sign_off_begun", "待签字 To sign", (2370, 850))
        both_of = p.gateway("sign_and_pay", (2440, 850), kind="parallel")
        signed = p.receives("signed", (2620, 780))
        again = p.gateway("still_owed", (2510, 920))
        owed = p.gateway("owed", (2590, 920), "应付? Owed?")
        paid = p.receives("paid", (2720, 920))
        all_of = p.gateway("signed_and_paid", (2830, 850), kind="parallel")
        end = p.end("signed_off", "已确认 Signed off", (2910, 850))
        p.flow(start, both_of)
        p.flow(both_of, signed)
        p.flow(both_of, again)
        p.flow(again, owed)
        p.flow(owed, paid, name="是 yes", label=(2622, 926))
        p.flow(paid, again, (2720, 980), (2510, 980))
        p.flow(owed, all_of, (2590, 850), name="否 no", label=(2596, 856))
        p.flow(signed, all_of)
        p.flow(all_of, end)
    p.clock(Rule.sign_off, box, (2390, 1010))
    p.clock(Rule.revisit, box, (2570, 1010), again=True)
    changed = p.boundary(
        "reclassified_at_last",
        both("reclassified"),
        box,
        (2780, 1010),
        interrupts=False,
        message=p.brings("reclassified"),
        label=(2800, 1026, 90),
        documentation=_about("reclassified"),
    )
    kept = p.end("reclassification_kept", "已记录 Kept", (2780, 1088), label=(2804, 1078, 80))
    p.flow(changed, kept)
    return box


def _revisit(p: Process) -> Shape:
    with _stage(p, Stage.revisit, (2330, 150), (630, 310)) as box:
        start = p.start("revisit_begun", "待回访 To revisit", (2370, 320))
        again = p.gateway("to_call", (2440, 320))
        news = p.gateway("revisit_news", (2510, 320), kind="eventBased")
        unanswered = p.receives("call_unanswered", (2640, 240))
        surveyed = p.receives("surveyed", (2640, 320))
        content = p.gateway("content", (2750, 320), "不满? Dissatisfied?")
        complains = p.throw(
            "survey_dissatisfied",
            "不满 Dissatisfied",
            (2800, 400),
            escalation=p.escalation("escalation_dissatisfied", "dissatisfied"),
        )
        joined = p.gateway("survey_kept", (2850, 320))
        end = p.end("revisited", "已回访 Surveyed", (2920, 320))
        p.flow(start, again)
        p.flow(again, news)
        p.flow(news, unanswered)
        p.flow(news, surveyed)
        p.flow(unanswered, again, (2640, 190), (2440, 190))
        p.flow(surveyed, content)
        p.flow(content, joined, name="否 no", label=(2785, 302))
        p.flow(content, complains, (2750, 400), name="是 yes", label=(2712, 350))
        p.flow(complains, joined, (2850, 400))
        p.flow(joined, end)
    p.clock(Rule.revisit, box, (2390, 460))
    return box


def _complaint_stage(p: Process) -> Shape:
    with _stage(p, Stage.complaint, (2400, 1170), (560, 190)) as box:
        start = p.start("complaint_begun", "有投诉 Complaints", (2440, 1265))
        again = p.gateway("still_complaints", (2510, 1265))
        one = p.catch(
            "one_settled",
            "一宗已解决 One is settled",
            (2610, 1265),
            conditional="a complaint was settled",
        )
        p.when(one, "complaint_settled")
        every = p.gateway("all_settled", (2720, 1265), "全部解决? All settled?")
        every.label = (2690, 1296, 90)
        end = p.end("complaints_settled", "全部解决 All settled", (2860, 1265))
        p.flow(start, again)
        p.flow(again, one)
        p.flow(one, every)
        p.flow(every, again, (2720, 1210), (2510, 1210), name="否 no", label=(2660, 1192))
        p.flow(every, end, name="是 yes", label=(2760, 1247))
    return box


def _complaint_case(p: Process, dissatisfied: str) -> None:
    with p.box("complaint_case", "一宗投诉 One complaint", (170, 1690), (1080, 420), by_event=True):
        start = p.start(
            "dissatisfied",
            "不满 Dissatisfied",
            (220, 1840),
            interrupts=False,
            escalation=dissatisfied,
        )
        with p.box("settling", "处理投诉 Settle the complaint", (290, 1730), (700, 280)) as box:
            begun = p.start("complaint_opened", "待接手 To take over", (330, 1810))
            again = p.gateway("unsettled", (400, 1810))
            news = p.gateway("complaint_news", (470, 1810), kind="eventBased")
            taken = p.receives("complaint_taken_over", (610, 1810))
            remedy = p.receives("remedy_offered", (610, 1880))
            settled = p.receives("complaint_settled", (610, 1950))
            end = p.end("complaint_over", "已解决 Settled", (900, 1950))
            p.flow(begun, again)
            p.flow(again, news)
            for task in (taken, remedy, settled):
                p.flow(news, task)
            for task in (taken, remedy):
                p.flow(task, again, (710, task.at.y), (710, 1760), (400, 1760))
            p.flow(settled, end)
        p.clock(Rule.complaint_escalation, box, (360, 2010))
        p.clock(Rule.complaint_contact, box, (620, 2010))
        over = p.end("case_over", "结案 Case over", (1100, 1870))
        p.flow(start, box)
        p.flow(box, over)
    with p.box("complaining", "投诉 Complaining", (1330, 1690), (420, 150), by_event=True):
        start = p.start(
            "complained",
            "投诉或重开 Complained or reopened",
            (1390, 1765),
            interrupts=False,
            message=p.brings(*COMPLAINS, name="a complaint"),
            label=(1345, 1790, 90),
            documentation=_about("complained"),
        )
        end = p.end("said_dissatisfied", "不满 Dissatisfied", (1620, 1765), escalation=dissatisfied)
        p.flow(start, end)


def _on_the_side(p: Process) -> None:
    with p.box(
        "on_the_side", "备注与任务 Notes and tasks", (1330, 1900), (420, 150), by_event=True
    ):
        start = p.start(
            "aside",
            "备注、任务、致电 Noted, tasks, calls",
            (1390, 1975),
            interrupts=False,
            message=p.brings(*ON_THE_SIDE, id="aside", name="a note or who does it"),
            label=(1345, 2000, 90),
            documentation="About who does the work; the process does not move by it.",
        )
        end = p.end("aside_kept", "已记录 Kept", (1620, 1975))
        p.flow(start, end)


# --- words ----------------------------------------------------------------------------------------


def _stage(
    p: Process, stage: Stage, corner: Spot, size: tuple[int, int]
) -> AbstractContextManager[Shape]:
    name = f"{stage.zh} {stage.replace('_', ' ').capitalize()}"
    return p.box(f"stage_{stage}", name, corner, size, stage=stage.value)


def _about(event: str) -> str:
    return (EVENTS[event].__doc__ or "").splitlines()[0]


def _told(terms: RulePolicy) -> str:
    """Who is told when the promise is broken, in the ladder's order."""
    roles = [level.tell for level in terms.ladder]
    chinese, english = (" → ".join(words) for words in (_zh(roles), roles))
    return f"告知{chinese} tell {english}"


def _zh(roles: Iterable[Role]) -> list[str]:
    return [role.zh for role in roles]


def _variants(terms: RulePolicy) -> str:
    """When the standard promises another duration."""
    others = [each for each in terms.when if each.goal is not None]
    return "; ".join(f"{' and '.join(_conditions(each))}: {_goal(each.goal)}" for each in others)


def _conditions(override: Override) -> list[str]:
    given = override.model_dump(mode="json", exclude={"goal", "ladder"}, exclude_none=True)
    return [f"{name.replace('_', ' ')} {value}" for name, value in given.items()]


def _goal(goal: object) -> str:
    return iso(goal) if isinstance(goal, timedelta) else "nothing is promised"


def iso(length: timedelta) -> str:
    """A length of time as ISO 8601 has it: `PT10M`, `PT24H`."""
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "H"), (minutes, "M"), (seconds, "S"))
    return "PT" + "".join(f"{number}{unit}" for number, unit in parts if number)


def standard() -> str:
    """The process under the standard policy."""
    return draw(read_policy(STANDARD.read_text(encoding="utf-8")))


if __name__ == "__main__":
    FILE.write_text(standard(), encoding="utf-8")
