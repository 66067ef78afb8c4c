"""What a study found, in sentences that follow from the rows of its tables and from nothing else."""

from dataclasses import dataclass

from experiments.intervals import NONE_SHOWN, Interval
from experiments.protocol import tables
from experiments.protocol.distances import ALL, EVERY
from experiments.protocol.entries import BOUND, COMMITTEE, HYBRID, Row
from experiments.protocol.report.chart import percent
from experiments.protocol.report.material import Material, Problem, cell_of, name_of
from experiments.variants import FAMILY_NAMES


@dataclass(frozen=True)
class Finding:
    """A question, or a problem, its answer in a sentence, and the details that the answer sums up."""

    about: str
    sentence: str
    details: tuple[str, ...] = ()


def answers(material: Material) -> list[Finding]:
    """One finding a question: in how many places the first way is better, worse, or neither is shown."""
    rows, found = material.tables["comparisons"], []
    for question in dict.fromkeys(row["question"] for row in rows):
        here = [row for row in rows if row["question"] == question]
        counts = {
            v: [r for r in here if r["verdict"] == v] for v in ("smaller error", "larger error", NONE_SHOWN)
        }
        sentence = (
            f"{_first(material.arm(here[0]['other']))}, instead of {material.arm(here[0]['baseline'])}: "
            f"smaller error in {len(counts['smaller error'])} of {len(here)} places, larger error in "
            f"{len(counts['larger error'])}, {NONE_SHOWN} in {len(counts[NONE_SHOWN])}."
        )
        low, high = (pick(row["change"] for row in here) for pick in (min, max))
        span = f" Changes of the error: {signed(low)} to {signed(high)}." if len(here) > 1 else ""
        found.append(Finding(question, sentence + span, tuple(compared(material, row) for row in here)))
    return found


def compared(material: Material, row: Row) -> str:
    """A row of `comparisons` as a sentence."""
    return (
        f"{where(material, row)}: {signed(row['change'])} ({signed(row['low'])} to {signed(row['high'])}), "
        f"{row['verdict']}."
    )


def horizons(material: Material) -> list[Finding]:
    """One finding a way to learn the steps: how much of its gain is the horizon, and what is left beyond it."""
    rows, found = material.tables["ablation"], []
    for learned, part in dict.fromkeys((row["learned"], row["horizon_arm"]) for row in rows):
        here = [row for row in rows if (row["learned"], row["horizon_arm"]) == (learned, part)]
        gains = [row for row in here if row["whole_high"] < 0]
        large = [row for row in gains if _gain(row) == "shown"]
        better = sum(row["beyond_high"] < 0 for row in here)
        worse = sum(row["beyond_low"] > 0 for row in here)
        sentence = (
            f"{_first(material.arm(learned))}: a gain over {material.arm(here[0]['baseline'])} is shown in "
            f"{len(gains)} of {len(here)} places. "
        )
        if large:
            some = "that gain" if len(large) == len(gains) else f"the {len(large)} gains of 2 % or more"
            sentence += f"Of {some}, {material.arm(part)} alone gives {_shared(large)}. "
        elif gains:
            sentence += "None of these gains reaches 2 % of the error: too small to divide. "
        sentence += (
            f"Beyond it, learned steps have a smaller error in {better} of {len(here)} places, a larger one in "
            f"{worse}; in {len(here) - better - worse} {NONE_SHOWN}."
        )
        about = f"How much of it is the horizon? {_first(material.arm(learned))} beside {material.arm(part)}"
        found.append(Finding(about, sentence, tuple(ablated(material, row) for row in here)))
    return found


def _shared(gains: list[Row]) -> str:
    """The shares of the horizon in gains that are shown; a horizon that is not shown to help has none."""
    shares = [row["share"] for row in gains if row["part_high"] < 0]
    some, more = [s for s in shares if s <= 1], sum(s > 1 for s in shares)
    low, high = (percent(pick(some, default=0.0)) for pick in (min, max))
    texts = {
        low if low == high else f"{low} to {high}": len(some),
        "as much or more": more,
        "nothing that is shown": len(gains) - len(shares),
    }
    texts = {text: count for text, count in texts.items() if count}
    if len(texts) == 1:
        return next(iter(texts))
    return _list(f"{text} in {count}" for text, count in texts.items())


def ablated(material: Material, row: Row) -> str:
    """A row of `ablation` as a sentence."""
    whole, part, beyond = (_interval(row, key) for key in ("whole", "part", "beyond"))
    text = f"{where(material, row)}: {material.arm(row['learned'])} {whole}; "
    text += f"{material.arm(row['horizon_arm'])} {part}"
    gain = _gain(row)
    if gain == "shown" and row["part_high"] < 0:
        ends = f"{percent(row['share_low'])} to {percent(row['share_high'])}"
        text += f", a share of {percent(row['share'])} ({ends})"
    elif gain != "shown":
        text += (
            ", so there is no gain to share" if gain == "none shown" else "; the gain is too small to divide"
        )
    return f"{text}; from the one to the other {beyond}, {decided(row['beyond_low'], row['beyond_high'])}."


def _gain(row: Row) -> str:
    return tables.gain(Interval(row["whole"], row["whole_low"], row["whole_high"]))


def yardsticks(problem: Problem) -> Finding | None:
    """The network of least validation loss beside every yardstick of a problem; None without yardsticks."""
    labels = {entry.key: entry.label for entry in problem.methods if not entry.variant}
    every = [row for row in problem.rows("against") if row["yardstick"] in labels]
    rows = [row for row in every if row["network"] == problem.best.name]
    if not rows:
        return None
    verdicts = {row["yardstick"]: decided(row["low"], row["high"]) for row in rows}
    beaten, lost, even = (
        [r for r in rows if verdicts[r["yardstick"]] == v and r["yardstick"] not in (HYBRID, COMMITTEE)]
        for v in ("smaller error", "larger error", NONE_SHOWN)
    )
    network = problem.label(rows[0]["network"])
    error = problem.at(problem.main)[rows[0]["network"]]
    sentence = (
        f"{network} (least validation loss) has an error of {error['error']:.3g} ({error['low']:.3g} to "
        f"{error['high']:.3g}). "
    )
    for word, group in (("Smaller than", beaten), ("Larger than", lost), ("Not told from", even)):
        if group:
            sentence += f"{word} that of {_list(labels[row['yardstick']] for row in group)}. "
    for entry in (entry for entry in problem.entries if entry.kind in (COMMITTEE, HYBRID, BOUND)):
        found = problem.at(entry.places[0])[entry.name]
        sentence += f"{_first(entry.label)}: {found['error']:.3g}. "
    for row in problem.rows("bounds", group=ALL):
        if name_of(row) == rows[0]["network"]:
            sentence += (
                f"On the {row['samples']:g} samples with a bound the network's error is {row['ratio']:.3g} times "
                f"it ({row['low']:.3g} to {row['high']:.3g}). "
            )
    details = tuple(
        f"against {labels[row['yardstick']]} ({row['yardstick_error']:.3g} on {row['samples']:g} samples): "
        f"{signed(row['change'])} ({signed(row['low'])} to {signed(row['high'])}), {verdicts[row['yardstick']]}."
        for row in rows
    )
    names = {entry.name: entry.label for entry in problem.methods}
    details += tuple(
        f"{names[row['network']]} against {labels[row['yardstick']]}: {signed(row['change'])} "
        f"({signed(row['low'])} to {signed(row['high'])}), {decided(row['low'], row['high'])}."
        for row in every
        if row not in rows
    )
    return Finding(problem.title, sentence.strip(), details)


def starts(material: Material) -> Finding | None:
    """What Gauss-Newton gains by a start from the network, over all problems; None where it was not tried."""
    rows = material.tables["hybrid"]
    if not rows:
        return None
    reached, fewer = (
        " to ".join(dict.fromkeys(percent(pick(row[key] for row in rows)) for pick in (min, max)))
        for key in ("reached", "fewer")
    )
    sooner = sum(row["change_high"] < 0 for row in rows)
    later = sum(row["change_low"] > 0 for row in rows)
    sentence = (
        f"From the network's estimate, Gauss-Newton reaches the error of its own cold start in {reached} of "
        f"samples, both where they come to rest, and takes fewer iterations in {fewer}. The mean number of "
        f"iterations is smaller on {sooner} of "
        f"{len(rows)} problems, larger on {later}; on {len(rows) - sooner - later} {NONE_SHOWN}."
    )
    details = tuple(
        f"{material.titles[row['data'], row['noise']]}, {row['samples']:g} samples: {row['iterations_cold']:.3g} "
        f"iterations from cold, {row['iterations_hybrid']:.3g} from the network, a change of "
        f"{_counted(row['change'])} ({_counted(row['change_low'])} to {_counted(row['change_high'])})."
        for row in rows
    )
    return Finding("Does the network help Gauss-Newton as its start?", sentence, details)


def depths(material: Material) -> list[Finding]:
    """One finding a way to find the depth: whether it reaches the best fixed depth, with what layers and work."""
    rows, answers = material.tables["depths"], []
    best = {cell_of(row): row for row in rows if row["method"] == row["best_fixed"]}
    for arm in dict.fromkeys(row["method"] for row in rows if row["changes"] == "True"):
        here = [row for row in rows if row["method"] == arm]
        smaller = sum(row["valid_change_high"] < 0 for row in here)
        larger = sum(row["valid_change_low"] > 0 for row in here)
        layers = [row["layers_end"] for row in here]
        work = [row["work"] / best[cell_of(row)]["work"] for row in here]
        sentence = (
            f"{_first(material.arm(arm))}: beside the fixed depth of least validation loss its own is smaller in "
            f"{smaller} of {len(here)} places and larger in {larger}; in {len(here) - smaller - larger} "
            f"{NONE_SHOWN}. It ends with {_span(layers, '.3g')} layers and takes {_span(work, '.3g')} times the "
            "work."
        )
        details = tuple(
            f"{where(material, row)}: {_interval(row, 'valid_change')} from {material.arm(row['best_fixed'])}, on "
            f"test data {_interval(row, 'error_change')}; {row['least']:g} to {row['most']:g} layers, "
            f"{row['parameters']:,.0f} weights, horizon {row['horizon']:.3g}."
            for row in here
        )
        answers.append(
            Finding(f"Can a network find its depth? {_first(material.arm(arm))}", sentence, details)
        )
    return answers


def _span(values: list[float], form: str) -> str:
    low, high = (format(pick(values), form) for pick in (min, max))
    return low if low == high else f"{low} to {high}"


def below(material: Material) -> Finding | None:
    """Whether an error lies below a bound that holds for every estimate; None without such bounds.

    If one does with its whole interval, a method has seen what it should not: a leak.
    """
    rows = [row for row in material.tables["bounds"] if (row["group"], row["holds_for"]) == (ALL, EVERY)]
    if not rows:
        return None
    under = [row for row in rows if row["high"] < 1]
    names = _list(dict.fromkeys(row["bound"] for row in rows))
    count = f"{len(under)} of {len(rows)} errors lie" if under else f"None of {len(rows)} errors lies"
    sentence = f"{count} below it with the whole interval ({names}; single intervals of 95 %). "
    nearest = min(rows, key=lambda row: row["ratio"])
    sentence += f"The smallest is {_distance(material, nearest)}"
    return Finding(
        "Does any error lie below what is possible?",
        sentence + ("." if not under else ". Look for a leak: a method may have seen what it should not."),
        tuple(f"{_distance(material, row)}." for row in under),
    )


def _distance(material: Material, row: Row) -> str:
    ends = f"{row['low']:.3g} to {row['high']:.3g}"
    title = material.titles[row["data"], row["noise"]]
    return f"{row['ratio']:.3g} times the {row['bound']} ({ends}): {title}, {row['label']}"


def elsewhere(problem: Problem) -> str:
    """How the network of least validation loss and the best classical method fare on the other splits."""
    best, classical = problem.best, problem.best_classical
    splits = [p for p in problem.places if p.level == problem.noise and p.split != problem.main.split]
    if best is None or not splits:
        return ""
    parts = []
    for place in splits:
        rows = problem.at(place)
        text = f"{place.split} {rows[best.name]['error']:.3g}"
        if classical is not None and classical.name in rows:
            text += f" ({classical.label} {rows[classical.name]['error']:.3g})"
        parts.append(text)
    main = problem.at(problem.main)[best.name]
    here = f"Error of {problem.label(best.name)}: {main['error']:.3g} on {problem.main.split}"
    return f"{here}; on other splits: {'; '.join(parts)}."


def decided(low: float, high: float) -> str:
    """What an interval of a change shows by itself."""
    return Interval(float("nan"), low, high).verdict


def where(material: Material, row: Row) -> str:
    """The place of the grid that a row is about."""
    title = next(p.title for p in material.problems if (p.key, p.noise) == (row["data"], row["noise"]))
    kin = [r for r in material.tables["costs"] if r["data"] == row["data"] and r["family"] == row["family"]]
    text = f"{title}, {FAMILY_NAMES[row['family']]}"
    if cell_of(row).network:
        text += f", {cell_of(row).network}"
    if len({other["layers"] for other in kin}) > 1:
        text += f", {row['layers']:g} layers"
    if len({other["training_samples"] for other in kin}) > 1:
        text += f", {row['training_samples']} training samples"
    return text


def signed(value: float) -> str:
    """A change as a percentage with its sign."""
    digits = 0 if abs(value) >= 0.995 else 1 if abs(value) >= 0.0095 else 2
    return f"{100 * value + 0.0:+.{digits}f} %".replace("-", "−")


def _interval(row: Row, key: str) -> str:
    return f"{signed(row[key])} ({signed(row[f'{key}_low'])} to {signed(row[f'{key}_high'])})"


def _counted(value: float) -> str:
    return f"{value + 0.0:+.3g}".replace("-", "−")


def _list(names) -> str:
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _first(text: str) -> str:
    return text[:1].upper() + text[1:]
