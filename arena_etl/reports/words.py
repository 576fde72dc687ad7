"""What happened in a round, in sentences; and how numbers and texts are written on pages."""

from collections.abc import Iterable, Mapping
from typing import Any

from arena_etl.reports.names import label
from arena_etl.rounds import ARENAS

Row = dict[str, Any]

_MISSING = "\N{EN DASH}"
_TEXT_LENGTH = 1_200  # characters of an answer or an instruction that a page shows


def summary(stages: list[Row], names: Mapping[str, str]) -> list[str]:
    """What happened: battles, selection, and the champion, a sentence each."""
    if not stages:
        return ["No stage of this round has begun: nothing is drawn, fought or trained."]
    return [_battles_sentence(totals(stages)), _selection_sentence(stages), _champion_sentence(stages, names)]


def _battles_sentence(fought: Mapping[str, int]) -> str:
    if not fought["battles"]:
        return "No battle has been fought yet."
    return (
        f"{count(fought['battles'])} battles were fought, {count(fought['training'])} on fresh training instructions and "
        f"{count(fought['wizard_arena'])} on the test set; in {percent(fought['usable'] / fought['battles'])} of them both "
        "games could be read."
    )


def _selection_sentence(stages: list[Row]) -> str:
    selected = {stage["name"].upper(): stage["funnel"] and stage["funnel"]["selected"] for stage in stages}
    done = [(name, number) for name, number in selected.items() if number is not None]
    parts = [
        f"{name} {count(number)}" if place else f"{name} selected {count(number)} example{'' if number == 1 else 's'}"
        for place, (name, number) in enumerate(done)
    ]
    parts += [f"{name} has not selected yet" for name, number in selected.items() if number is None]
    *earlier, last = parts
    return f"{', '.join(earlier)} and {last}." if earlier else f"{last}."


def _champion_sentence(stages: list[Row], names: Mapping[str, str]) -> str:
    first, last = stages[0]["champion"], champion(stages)
    name = _name(names, str(last))
    state = f"the champion is still {name}." if first == last else f"the champion is new: {name}."
    told = [_decision(stage["promotion"], names) for stage in stages if stage["promotion"]]
    text = "; ".join([*told, state]) if told else f"no promotion has been decided yet; {state}"
    return text[0].upper() + text[1:]


def _decision(row: Row, names: Mapping[str, str]) -> str:
    after = f"after {row['stage'].upper()}"
    if row["candidate"] is None:
        return f"{after} there was no candidate ({row['reason']})"
    verb = "was promoted" if row["decision"] == "promoted" else "was not promoted"
    why = (
        row["reason"]
        if row["lower"] is None
        else f"{signed(row['difference'])} rating points, interval {signed(row['lower'])} to {signed(row['upper'])}"
    )
    return f"{after} {_name(names, row['candidate'])} {verb} ({why})"


def _name(names: Mapping[str, str], model: str) -> str:
    """The name of a model, in a sentence: letters from right to left must not pull the rest of it along."""
    name = label(names.get(model, model))
    return name if name.isascii() else f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}"


def totals(stages: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Battles that the stages added, per arena and together, and how many of them are usable."""
    categories = [row for stage in stages for row in stage["categories"]]
    fought = {arena: sum(row["battles"] for row in categories if row["arena"] == arena) for arena in ARENAS}
    return fought | {"battles": sum(fought.values()), "usable": sum(row["usable"] for row in categories)}


def champion(stages: list[Row]) -> str | None:
    """Who holds the place after the last stage that the round has come to."""
    if not stages:
        return None
    decision = stages[-1]["promotion"]
    promoted = decision is not None and decision["decision"] == "promoted"
    holder: str = decision["candidate"] if promoted else stages[-1]["champion"]
    return holder


def number(value: float | None, digits: int = 1) -> str:
    return _MISSING if value is None else f"{value:,.{digits}f}"


def count(value: int | None) -> str:
    return _MISSING if value is None else f"{value:,}"


def percent(share: float | None) -> str:
    return _MISSING if share is None else f"{share:.0%}"


def signed(value: float | None) -> str:
    return _MISSING if value is None else f"{value:+,.1f}"


def shorten(text: str | None, length: int = _TEXT_LENGTH) -> str:
    if text is None:
        return "(no text)"
    if len(text) <= length:
        return text
    return f"{text[:length]} … ({len(text) - length:,} more characters)"
