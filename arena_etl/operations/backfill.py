"""Past rounds again, by today's configuration: planned, done, compared with what was, and released as one.

The work goes the way of every night: steps that the new configuration leaves as they were are not done again, and every batch
passes its gate. Readers stay at the last release until all of it is there. What a round decided about its candidate stays as
it was decided; what would be decided now is part of the comparison.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from arena_etl.config import Config
from arena_etl.errors import ArenaError, InputError
from arena_etl.flywheel import ARENA, STEPS, do, release_round, trainings
from arena_etl.lake import hold
from arena_etl.lake.delta import Lake
from arena_etl.lake.query import changes
from arena_etl.lake.releases import Release, releases, rollback, table_versions
from arena_etl.operations import plan as planning
from arena_etl.rounds import ARENAS, TRAINING, fought_in, parse_round
from arena_etl.steps import Summary, is_done
from arena_etl.training.promote import RULE, decide

What = Literal["judge", "select", "rate", "battles", "all"]
_RATINGS = ("rate", "win_rates")
_ASKED = {"generate": "response", "judge": "verdict"}


@dataclass(frozen=True)
class Window:
    """``first`` to ``last``: rounds, both of them too. ``what``: what is done again in each."""

    first: str
    last: str
    what: What

    @classmethod
    def parse(cls, text: str, what: str) -> "Window":
        """From ``FROM..TO``, or one round. Raises InputError for anything else, and for an unknown ``what``."""
        first, dots, last = text.partition("..")
        window = cls(parse_round(first), parse_round(last if dots else first), what)  # type: ignore[arg-type]
        if window.first > window.last:
            raise InputError(f"{text}: ends before it begins. Write FROM..TO, the earlier round first.")
        if what not in get_args(What):
            raise InputError(f"--what {what}: choose one of {', '.join(get_args(What))}.")
        return window

    def __str__(self) -> str:
        return f"{self.what} {self.first}..{self.last}"


@dataclass(frozen=True)
class Planned:
    """A step of a backfill. ``state``: redo, or reuse where today's configuration leaves it as it is."""

    step: str
    keys: tuple[str, ...]
    state: str


@dataclass(frozen=True)
class Plan:
    """``rounds``: those of the window; ``later``: rounds after it whose ratings rest on them; ``calls``: as in ``plan``."""

    rounds: list[str]
    later: list[str]
    steps: list[Planned]
    calls: list[dict[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """What the lake has now against its last release: rows per table and round, ratings, and promotions that would be others."""

    what_changed: list[dict[str, Any]]
    rating_changes: list[dict[str, Any]]
    promotions: list[dict[str, Any]]


def plan(config: Config, lake: Lake, window: Window) -> Plan:
    """What a backfill would do; nothing is changed. Raises InputError for a window without finished rounds, or with open ones."""
    rounds, later = rounds_of(lake, window)
    steps: list[Planned] = []
    moved = False
    for round_ in (*rounds, *later):
        redone = set[str]()
        for name, keys in _steps(config, lake, window.what, round_, within=round_ in rounds):
            after = "/".join(keys)
            learned_from = f"{round_}/{fought_in(keys[1])}/{TRAINING}" if name == "select" else after
            again = learned_from in redone or (name in _RATINGS and moved)
            again = again or not is_done(STEPS[name], config, lake, *keys)
            if again and name not in _RATINGS:
                redone.add(after)
                moved = moved or name != "select"
            steps.append(Planned(name, keys, "redo" if again else "reuse"))
    asking = {(each.keys, _ASKED[each.step]) for each in steps if each.step in _ASKED and each.state == "redo"}
    calls = [
        {"round": round_, **row}
        for round_ in sorted({keys[0] for keys, _ in asking})
        for row in planning.plan(config, lake, round_)
        if ((round_, row["stage"], row["arena"]), row["kind"]) in asking
    ]
    return Plan(rounds, later, steps, calls)


def run(
    config: Config,
    lake: Lake,
    window: Window,
    author: str,
    reason: str,
    report: Callable[[str, tuple[str, ...], Summary], Any],
) -> Comparison:
    """Do the steps, or go on with them, and compare; ``report`` hears of each step. Nothing is released yet.

    From here to ``publish`` or ``give_up`` no other backfill begins and no round is released. Raises InputError for a wrong
    window and without a reason, ArenaError while another backfill is under way, GateStopped as every step does.
    """
    if not reason.strip():
        raise InputError("a backfill changes what people have read: say why, --reason '...'")
    rounds, later = rounds_of(lake, window)
    _begin(config, lake, window, author, reason)
    for round_ in (*rounds, *later):
        for name, keys in _steps(config, lake, window.what, round_, within=round_ in rounds):
            report(name, keys, do(config, lake, name, *keys))
    return compare(config, lake, rounds)


def compare(config: Config, lake: Lake, rounds: list[str]) -> Comparison:
    """What the newest tables have that the last release has not; decisions are those of the rounds."""
    found = changes(lake, config.query, "head", str(releases(lake)[-1].release_id))
    return Comparison(**found, promotions=list(_decisions(config, lake, rounds)))


def publish(config: Config, lake: Lake, window: Window, author: str, reason: str) -> Release:
    """Release the whole set at once, and let rounds be released again.

    Raises ArenaError when no backfill of this window is under way, or a round is half done.
    """
    held = hold.held(lake)
    if held is None or held["window"] != str(window):
        raise ArenaError(f"backfill {window} is not under way: nothing to release.")
    released = release_round(config, lake, window.last, author, f"backfill {window}: {reason}", holder=str(window))
    hold.let_go(lake)
    return released


def give_up(config: Config, lake: Lake, author: str) -> Release:
    """Take back what an unfinished backfill did: all tables are again as the last release has them.

    Raises ArenaError when none is under way, or when a round that began meanwhile would go with it.
    """
    held, last = hold.held(lake), releases(lake)[-1]
    if held is None:
        raise ArenaError("no backfill is under way: nothing to give up.")
    with lake.connect(["slices"], table_versions(lake, last)) as connection:
        released = {round_ for (round_,) in connection.sql("select distinct round from slices").fetchall()}
    if meanwhile := sorted({values[0] for values in lake.fingerprints("slices")} - released):
        raise ArenaError(
            f"backfill {held['window']} cannot be taken back: round {', '.join(meanwhile)} began meanwhile, and what it paid "
            "for would be lost. Finish both; `arena-etl backfill` with the earlier configuration undoes a backfill."
        )
    restored = rollback(lake, config, last.release_id, author, f"backfill {held['window']} given up")
    hold.let_go(lake)
    return restored


def rounds_of(lake: Lake, window: Window) -> tuple[list[str], list[str]]:
    """The rounds of the window, and those after it whose ratings rest on them. Errors as in ``plan``."""
    begun = {values[0] for values in lake.fingerprints("slices")}
    finished = {values[0] for values in lake.fingerprints("win_rates")}
    rounds = sorted(round_ for round_ in begun if window.first <= round_ <= window.last)
    if not rounds:
        there = f"There are {min(finished)} to {max(finished)}." if finished else "There is none yet."
        raise InputError(f"backfill {window}: no round in this window. {there}")
    if window.last > max(begun):
        raise InputError(f"backfill {window}: {window.last} has not come yet; the newest round is {max(begun)}.")
    if half := sorted(set(rounds) - finished):
        raise InputError(
            f"backfill {window}: round {half[0]} is not finished. `arena-etl run --round {half[0]}` first."
        )
    return rounds, sorted(round_ for round_ in finished if round_ > window.last and window.what != "select")


def _steps(
    config: Config, lake: Lake, what: What, round_: str, *, within: bool
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The steps of a round that a backfill goes through; of a later round only the ratings, which rest on all before."""
    fights = {"judge": ARENA[1:], "battles": ARENA, "all": ARENA}.get(what, ())
    for stage in _stages(config, lake, round_) if within else ():
        yield from ((name, (round_, stage, arena)) for arena in ARENAS for name in fights)
        if what in ("select", "all"):
            yield from (("select", (round_, trained)) for trained in trainings(stage))
    if what != "select":
        yield from ((name, (round_,)) for name in _RATINGS)


def _stages(config: Config, lake: Lake, round_: str) -> list[str]:
    """The stages that the round fought in, in the order of the configuration."""
    fought = {values[1] for values in lake.fingerprints("slices") if values[0] == round_}
    if not fought <= set(config.stages):
        raise InputError(
            f"round {round_} fought in the stages {', '.join(sorted(fought))}, and `stages` is {', '.join(config.stages)}: "
            "what is not in it would be left out. Run the backfill with the stages that the round had."
        )
    return [stage for stage in config.stages if stage in fought]


def _decisions(config: Config, lake: Lake, rounds: list[str]) -> Iterator[dict[str, Any]]:
    """Decisions by the rules that would be others today; those that people made are theirs."""
    with lake.connect(["promotions"]) as connection:
        made = connection.execute(
            "select round, stage, decision, reason from promotions "
            "where list_contains($rounds, round) and decided_by = $rule order by round, stage",
            {"rounds": rounds, "rule": RULE},
        ).fetchall()
    for round_, stage, decision, reason in made:
        now = decide(config, lake, round_, stage)
        if now["decision"] != decision:
            yield {
                "round": round_,
                "stage": stage,
                "decision": decision,
                "reason": reason,
                "decision_now": now["decision"],
                "reason_now": now["reason"],
            }


def _begin(config: Config, lake: Lake, window: Window, author: str, reason: str) -> None:
    """Hold releases back, or find one's own earlier attempt doing so."""
    mine = {
        "window": str(window),
        "config": config.digest,
        "author": author,
        "reason": reason,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    held = hold.take(lake, mine)
    if (held["window"], held["config"]) != (mine["window"], mine["config"]):
        raise ArenaError(
            f"backfill {held['window']} by {held['author']} is under way since {held['started_at']} ({held['reason']}). "
            "Finish it with its own command and configuration, or take it back: `arena-etl backfill --give-up`."
        )
