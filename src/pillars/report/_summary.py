"""The bench in words: who is faster by how much, what a hand-derived gradient saves, and the verdict."""

from __future__ import annotations

import statistics

from rich.text import Text

from pillars.measure import Bench
from pillars.report._operations import best_peer, faster
from pillars.report._units import share, size as in_bytes, times

__all__ = [
    "crossover_lines",
    "double_line",
    "few_words",
    "gradient_line",
    "limit_line",
    "memory_line",
    "noise_line",
    "peer_lines",
    "speed_lines",
    "verdict",
    "words",
]

_WIDE = 0.3


def words(bench: Bench) -> list[Text]:
    """All that is said of the times, a line each; the verdict on the results is for the end, or the beginning."""
    single = _single(bench)
    lines = [*speed_lines(single), *crossover_lines(bench), *peer_lines(single), limit_line(single)]
    lines += [gradient_line(single), memory_line(single), *map(Text, bench.remarks), double_line(bench)]
    last = noise_line(bench)
    return [line for line in (*lines, last) if line]


def few_words(bench: Bench) -> list[Text]:
    """Of :func:`words` those that fit the short form: who is faster, how near the limit, what a gradient by hand saves.

    Remarks and noise are always among them: they say what the figures are worth.
    """
    single = _single(bench)
    # between the two sizes the faster one changes somewhere, if at all
    ends = single._replace(
        operations=tuple(row for row in single.operations if row.size in ("small", "large"))
    )
    lines = [*speed_lines(ends), limit_line(single), gradient_line(single), *map(Text, bench.remarks)]
    last = noise_line(bench)
    return [line for line in (*lines, last) if line]


def _single(bench: Bench) -> Bench:
    """Of its rows those in float32, which the words are about."""
    return bench._replace(
        operations=tuple(row for row in bench.operations if row.dtype == "float32"),
        gradients=tuple(row for row in bench.gradients if row.dtype == "float32"),
    )


def speed_lines(bench: Bench) -> list[Text]:
    """A line a size: on how many operations each backend is the fastest, and where by most."""
    lines: list[Text] = []
    names = [state.name for state in bench.backends if state.ran]
    if len(names) < 2:
        return lines
    for size in dict.fromkeys(row.size for row in bench.operations):
        rows = [row for row in bench.operations if row.size == size]
        wins: dict[str, list[tuple[float, str]]] = {name: [] for name in names}
        operations = list(dict.fromkeys(row.operation for row in rows))
        for operation in operations:
            best, ratio = faster({row.backend: row.steady for row in rows if row.operation == operation})
            if best:
                wins[best].append((ratio, operation))
        parts = []
        for name, won in wins.items():
            if won:
                ratio, operation = max(won)
                parts.append(
                    f"{name} is faster on {len(won)} of {len(operations)} (most on {operation}, {times(ratio)})"
                )
        even = len(operations) - sum(map(len, wins.values()))
        parts += [f"{even} even"] if even else []
        lines.append(Text(f"{size.capitalize()} sizes: {', '.join(parts)}."))
    return lines


def crossover_lines(bench: Bench) -> list[Text]:
    """A line a pair of backends: from which size of a call on, and until which, the second is the faster one."""
    sizes: dict[str, list[float]] = {}
    for change in bench.crossovers:
        sizes.setdefault(change.operation, []).append(change.bytes)
    pairs: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for change in bench.crossovers:
        later = min((moved for moved in sizes[change.operation] if moved > change.bytes), default=None)
        until = "" if later is None else f" until {in_bytes(later)}"
        words = f"{change.operation} {in_bytes(change.bytes)}{until}"
        pairs.setdefault((change.before, change.after), []).append((change.bytes, words))
    return [
        Text(
            f"Where the faster one changes, {after} is faster than {before} from this many bytes on: "
            + ", ".join(words for _, words in sorted(result))
            + "."
        )
        for (before, after), result in pairs.items()
    ]


def limit_line(bench: Bench) -> Text:
    """How near each backend comes to what the machine allows, at the large sizes: the median, the worst, the best."""
    parts = []
    for name in dict.fromkeys(row.backend for row in bench.operations):
        reached = [
            (row.reached, row.operation)
            for row in bench.operations
            if row.backend == name and row.size == "large" and row.reached is not None
        ]
        if reached:
            (low, worst), (high, best) = min(reached), max(reached)
            middle = share(statistics.median(fraction for fraction, _ in reached))
            parts.append(f"{name} {middle} ({share(low)} on {worst} to {share(high)} on {best})")
    return Text(
        f"Share of the machine's limit reached, large sizes, median (range): {', '.join(parts)}."
        if parts
        else ""
    )


def peer_lines(bench: Bench) -> list[Text]:
    """A line a backend: how often it beats the fastest of what else is installed, at the large sizes."""
    lines = []
    for name in dict.fromkeys(row.backend for row in bench.operations):
        ratios = []
        for row in bench.operations:
            result = best_peer(row) if row.backend == name and row.size == "large" else None
            if result is not None:
                ratios.append((result[1], f"{row.operation} against {_library(result[0].name)}"))
        if ratios:
            (low, worst), (high, best) = min(ratios), max(ratios)
            ahead, behind = sum(ratio > 1.05 for ratio, _ in ratios), sum(ratio < 0.95 for ratio, _ in ratios)
            count = f"{name} is faster on {ahead} of {len(ratios)} and slower on {behind}"
            reach = f"from {times(low)} on {worst} to {times(high)} on {best}"
            lines.append(
                Text(f"Against the fastest of the other libraries here, large sizes, {count} ({reach}).")
            )
    return lines


def _library(name: str) -> str:
    """A peer as words say it: "plain" is no library."""
    return "plain array code" if name == "plain" else name


def memory_line(bench: Bench) -> Text:
    """What autodiff of the body takes over the hand-derived rule, at the large sizes."""
    parts = []
    for name in dict.fromkeys(row.backend for row in bench.gradients):
        ratios = [
            row.autodiff.memory / row.hand.memory
            for row in bench.gradients
            if row.backend == name and row.size == "large" and row.hand.memory and row.autodiff.memory
        ]
        if ratios:
            middle = times(statistics.median(ratios))
            parts.append(f"{name} {middle} ({times(min(ratios))} to {times(max(ratios))})")
    return Text(
        f"Peak memory of autodiff over that by hand, large sizes, median (range): {', '.join(parts)}."
        if parts
        else ""
    )


def double_line(bench: Bench) -> Text:
    """How much longer float64 takes, at the large sizes."""
    parts = []
    for name in dict.fromkeys(row.backend for row in bench.operations):
        large = {
            (row.operation, row.dtype): row.steady.median
            for row in bench.operations
            if row.backend == name and row.size == "large" and row.steady is not None
        }
        ratios = [
            taken / large[operation, "float32"]
            for (operation, dtype), taken in large.items()
            if dtype == "float64" and (operation, "float32") in large
        ]
        if ratios:
            parts.append(f"{name} {times(statistics.median(ratios))}")
    return Text(
        f"Time in float64 over that in float32, large sizes, median: {', '.join(parts)}." if parts else ""
    )


def gradient_line(bench: Bench) -> Text:
    """The median saving of the hand-derived gradient, by backend."""
    parts = []
    for name in dict.fromkeys(row.backend for row in bench.gradients):
        ratios = [
            row.autodiff.steady.median / row.hand.steady.median
            for row in bench.gradients
            if row.backend == name and row.hand.steady is not None and row.autodiff.steady is not None
        ]
        if ratios:
            middle = statistics.median(ratios)
            word = (
                f"{times(middle)} faster"
                if middle >= 1.05
                else f"{times(1 / middle)} slower"
                if middle < 0.95
                else "even"
            )
            parts.append(f"{name} {word} ({times(min(ratios))} to {times(max(ratios))})")
    return Text(
        f"Gradients derived by hand against autodiff, median (range): {', '.join(parts)}." if parts else ""
    )


def verdict(bench: Bench) -> Text:
    """One line: does everything agree, and can the times be trusted."""
    ran = [state.name for state in bench.backends if state.ran]
    left = [state.name for state in bench.backends if not state.ran]
    checks = (
        len(bench.job.reductions) + len(bench.job.runs) + len(bench.operations) + 2 * len(bench.gradients)
    )
    tail = f"; {', '.join(left)} not run" if left else ""
    tail += f". Took {bench.seconds:.0f} s."
    if bench.interrupted:
        tail += " Interrupted: this is what was measured until then."
    checks -= len(bench.remarks)
    if bench.findings:
        wrong = f"✘ {len(bench.findings)} of {checks} results are wrong or missing on {', '.join(ran)}{tail}"
        return Text(wrong, style="bold red")
    who = (
        " and ".join(ran) + " agree"
        if len(ran) == 2
        else ", ".join(ran) + (" agree" if len(ran) > 2 else " agrees")
    )
    return Text(
        f"✔ {who} with the float64 reference: all {checks} results within rounding{tail}", style="bold green"
    )


def noise_line(bench: Bench) -> Text | None:
    """Why the times are not to be trusted: a machine busy before, repeats far apart; None where all was quiet."""
    where = bench.environment
    spreads = [row.steady.spread for row in bench.operations if row.steady is not None]
    wide = sum(spread > _WIDE for spread in spreads)
    reasons = []
    if where.load is not None and where.load > where.cores:
        reasons.append(f"load {where.load:.1f} on {where.cores} cores before it began")
    if 4 * wide > len(spreads):
        reasons.append(f"{wide} of {len(spreads)} times vary by over {100 * _WIDE:.0f}%")
    if not reasons:
        return None
    return Text(f"The machine was noisy ({', '.join(reasons)}): distrust small ratios.", style="yellow")
