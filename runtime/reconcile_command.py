"""What `aftersales reconcile` shows at the terminal: a line per difference, and a sum."""

from datetime import datetime

from rich.console import Console

from records.engine import migrate, open_engine
from runtime import preflight
from runtime.keys import key_ring
from runtime.preflight import is_held
from runtime.reconcile import Found, Reconciler, Unreachable, reconcile_all
from runtime.settings import Settings
from runtime.temporal import connect
from runtime.trouble import Trouble
from runtime.up import as_started
from workflows.reconcile import Reconciled

WORDS = {True: "repaired 已修复", False: "differs 不一致"}


async def run(
    settings: Settings,
    *,
    repair: bool,
    number: str | None = None,
    since: datetime | None = None,
    thorough: bool = False,
) -> bool:
    """Reconcile and say what was found. Returns whether nothing is left that differs.

    Raises:
        Trouble: Temporal or the workers do not answer, or there is no such request.
    """
    if is_held(settings.data_dir):
        settings = as_started(settings)
    console = Console(highlight=False, soft_wrap=True)

    def tell(found: Found) -> None:
        difference = found.difference
        said = f"{difference.number}  {WORDS[found.repaired]}  {difference.where}: "
        console.print(said + difference.what, markup=False)

    try:
        client = await connect(settings)
    except RuntimeError:
        raise preflight.no_temporal(settings) from None
    engine = open_engine(settings.database, key_ring(settings))
    migrate(engine)
    reconciler = Reconciler(
        client, engine, repair=repair, thorough=thorough or number is not None, tell=tell
    )
    try:
        with console.status("") as status:

            def progress(number: str, so_far: Reconciled) -> None:
                status.update(f"{so_far.checked} checked 已核对 · {number}")

            if number is not None:
                done = await reconciler.one(number)
            elif since is not None:
                done = await reconciler.all(since=since, progress=progress)
            else:
                done = await reconcile_all(reconciler, engine, progress=progress)
    except LookupError:
        raise Trouble(f"There is no request {number}") from None
    except Unreachable:
        advice = "start one with aftersales worker, then run this again"
        raise Trouble("No worker answered for a request", advice) from None
    finally:
        engine.dispose()
    console.print(_sum(done), markup=False)
    return done.left == 0


def _sum(done: Reconciled) -> str:
    return (
        f"{done.checked} requests checked, {done.differences} differences, "
        f"{done.repaired} repaired, {done.left} left.\n"
        f"已核对 {done.checked} 个请求，发现 {done.differences} 处不一致，"
        f"修复 {done.repaired} 处，剩余 {done.left} 处。"
    )
