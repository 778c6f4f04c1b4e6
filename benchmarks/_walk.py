"""The blocks and figures of docs/upcoming.md: what its commands printed, out of benchmarks/results/curator.json."""

from collections.abc import Mapping
from typing import Any, Final

from benchmarks import _tables

# How many lines of an output are shown from its beginning and from its end; all of the others.
SHOWN: Final = {"explain": (9, 6), "slate": (5, 1)}
CRONTAB: Final = "30 6 * * 5"  # each Friday at 06:30
# The blocks, and the commands in each.
BLOCKS: Final = {
    "wrong key": ("wrong key",),
    "find": ("find",),
    "explain": ("explain",),
    "slate": ("slate",),
    "overlap": ("overlap",),
    "log": ("log", "slates"),
    "outcome": ("outcome",),
    "monitor": ("monitor",),
}


def blocks(found: Mapping[str, Any]) -> dict[str, str]:
    """The text of each block, by the name of its markers."""
    made = {f"walk {name}": console(found["commands"], parts) for name, parts in BLOCKS.items()}
    return made | {
        "walk crontab": f"```\n{CRONTAB}  {found['cron']}\n```",
        "walk mail": "\n".join(["```", *found["commands"]["failure"]["output"], "```"]),
        "walk scores": scores_table(found["outcome"]["rows"]),
    }


def console(commands: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Commands and what they printed, as a block of Markdown."""
    lines = ["```console"]
    for name in names:
        output, (first, last) = commands[name]["output"], SHOWN.get(name, (0, 0))
        left_out = first and len(output) > first + last
        lines += [f"$ {commands[name]['command']}"]
        lines += [*output[:first], "…", *output[-last:]] if left_out else output
    return "\n".join([*lines, "```"])


def scores_table(rows: list[Mapping[str, Any]]) -> str:
    """The main columns of the page that `stages.outcome` writes."""
    head = [
        "predicted", "films", "scored", "too few votes yet", "no longer at TMDB", "balanced accuracy", "log-loss",
        "log-loss of the base rates", "mean error of the rating", "in the 80% interval",
    ]  # fmt: skip
    cells = [
        [
            row["asked"],
            *(str(row[name]) for name in ("films", "scored", "few_votes", "gone")),
            with_interval(row, "balanced_accuracy", ".3f"),
            f"{row['log_loss']:.3f}",
            f"{row['log_loss_of_base_rates']:.3f}",
            with_interval(row, "mean_absolute_error", ".2f"),
            with_interval(row, "interval_coverage", ".0%"),
        ]
        for row in rows
    ]
    return _tables.markdown(head, cells)


def with_interval(row: Mapping[str, Any], kind: str, style: str) -> str:
    """A figure with its 95% interval."""
    low, high = row["interval_95"][kind]
    return f"{row[kind]:{style}} ({low:{style}} to {high:{style}})"


def figures(found: Mapping[str, Any]) -> dict[str, str]:
    """The text of each figure."""
    first, second, row = found["first_list"], found["second_list"], found["outcome"]["rows"][0]
    return {
        "all": f"{found['films']:,}",
        "limit": f"{found['rate_limit']:.0f}",
        "faults": f"{found['faults']:.0%}",
        "kills": str(first["kills"]),
        "films": f"{first['films']:,}",
        "repeated": str(first["answers_lost_to_kills"]),
        "requests": f"{first['requests']:,}",
        "most": str(first["most_in_one_second"]),
        "mean": f"{first['most_in_ten_seconds'] / 10:.0f}",
        "second": f"{second['films']:,}",
        "scored": f"{row['scored']:,}",
        "few": str(row["few_votes"]),
        "gone": str(row["gone"]),
        "sent": str(found["monitored"]["films"]),
    }
