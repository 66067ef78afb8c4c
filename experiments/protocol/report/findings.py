"""What a study found, in sentences that follow from the rows of its tables and from nothing else."""

from dataclasses import dataclass

from experiments.protocol.report.charts import percent
from experiments.protocol.report.material import BOUND, Material, Problem, Row
from experiments.variants import FAMILY_NAMES

NONE_SHOWN = "no difference shown"


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
        better = sum(row["beyond_high"] < 0 for row in here)
        worse = sum(row["beyond_low"] > 0 for row in here)
        sentence = (
            f"{_first(material.arm(learned))}: a gain over {material.arm(here[0]['baseline'])} is shown in "
            f"{len(gains)} of {len(here)} places. "
        )
        if gains:
            sentence += f"Of that gain, {material.arm(part)} alone gives {_shared(gains)}. "
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
    none = len(gains) - len(shares)
    if not shares:
        return "nothing that is shown"
    low, high = percent(min(shares)), percent(max(shares))
    text = low if low == high else f"{low} to {high}"
    return text if not none else f"{text} in {len(shares)} of them and nothing that is shown in {none}"


def ablated(material: Material, row: Row) -> str:
    """A row of `ablation` as a sentence."""
    whole, part, beyond = (_interval(row, key) for key in ("whole", "part", "beyond"))
    text = f"{where(material, row)}: {material.arm(row['learned'])} {whole}; "
    text += f"{material.arm(row['horizon_arm'])} {part}"
    if row["share"] is not None and row["whole_high"] < 0 and row["part_high"] < 0:
        ends = f"{percent(row['share_low'])} to {percent(row['share_high'])}"
        text += f", a share of {percent(row['share'])} ({ends})"
    elif row["whole_high"] >= 0:
        text += ", so there is no gain to share"
    return f"{text}; from the one to the other {beyond}, {decided(row['beyond_low'], row['beyond_high'])}."


def yardsticks(problem: Problem) -> Finding | None:
    """The network of least validation loss beside every yardstick of a problem; None without yardsticks."""
    labels = {entry.key: entry.label for entry in problem.methods if not entry.variant}
    rows = [row for row in problem.rows("against") if row["yardstick"] in labels]
    if not rows:
        return None
    verdicts = {row["yardstick"]: decided(row["low"], row["high"]) for row in rows}
    beaten, lost, even = (
        [row for row in rows if verdicts[row["yardstick"]] == v]
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
    for entry in (entry for entry in problem.entries if entry.kind == BOUND):
        least = problem.at(entry.places[0])[entry.name]
        sentence += f"{entry.label}: {least['error']:.3g}. "
    details = tuple(
        f"against {labels[row['yardstick']]} ({row['yardstick_error']:.3g} on {row['samples']:g} samples): "
        f"{signed(row['change'])} ({signed(row['low'])} to {signed(row['high'])}), {verdicts[row['yardstick']]}."
        for row in rows
    )
    return Finding(problem.title, sentence.strip(), details)


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
    return "smaller error" if high < 0 else "larger error" if low > 0 else NONE_SHOWN


def where(material: Material, row: Row) -> str:
    """The place of the grid that a row is about."""
    title = next(p.title for p in material.problems if (p.key, p.noise) == (row["data"], row["noise"]))
    kin = [r for r in material.tables["costs"] if r["data"] == row["data"] and r["family"] == row["family"]]
    text = f"{title}, {FAMILY_NAMES[row['family']]}"
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


def _list(names) -> str:
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _first(text: str) -> str:
    return text[:1].upper() + text[1:]
