"""What the pictures of the study of depth show, for a reader who knows neither the code nor its names."""

from experiments.depths.spec import Depths
from experiments.depths.verdicts import family_name


def captions(study: Depths) -> dict[str, str]:
    """Name of each picture to its caption."""
    extent, size = study.extent, study.spec.perturbations[0]
    at = f"Initial weights times {middle(study):g}."
    end = f"after {extent.epochs} epochs"
    texts = {
        "training": f"""Share of {extent.seeds} seeds whose validation loss {end} is below
            {study.spec.trained_below:.0%} of that of always answering with the prior mean. Up: deeper networks.
            Right: larger initial weights. T: sum of the time steps; L: number of layers.""",
        "bounds": f"""How large the gradient in the first state is beside that in the last, against depth, at
            the start. Dashed: measured, mean of seeds. Shaded: between the smallest and the largest singular
            value of the derivative of the last state in the first. Dotted: what steps and weights alone promise
            (absent where that is nothing, cut at ten decades). Dash-dotted: weight of the direct path from the
            first state to the last. {at}""",
        "profiles": f"""Gradient of the loss in the states along the depth of the deepest networks, at the start
            (dotted) and {end} (lines), each divided by its last value; geometric mean of seeds. {at}""",
        "evolution": f"""Gradient in the first state over that in the last, in decades, along the training of the
            deepest networks; at 0 it neither vanishes nor explodes. Mean and 95 % interval of seeds. {at}""",
        "sensitivity": f"""Relative change of a trained network's output when each of its steps changes by
            {size:.0%}, up or down at random. Mean and 95 % interval of the seeds that train; no point where none
            does. {at}""",
        "steps": f"""Learned steps {end}. Top: their sum, the horizon, with its 95 % interval. Bottom: the largest
            (lines) and the smallest step (dotted) times the number of layers, both 1 at the start; a step below 0
            runs backwards. Mean of seeds. {at}""",
    }
    for family in study.spec.families:
        name = family_name(family)
        texts["map-" + family] = f"""{name[0].upper()}{name[1:]}: gradient of the loss in the first state over
            that in the last, as a power of ten, mean of seeds. White: neither vanishes nor explodes. Orange:
            vanishes towards the first layer. Purple: explodes. Colours end at six decades. ×: all seeds left the
            numbers. T: sum of the time steps; L: number of layers."""
    return {name: " ".join(text.split()) for name, text in texts.items()}


def middle(study: Depths) -> float:
    """The scale of the initial weights that is nearest to the usual one, which the curves show."""
    return min(study.extent.scales, key=lambda scale: max(scale, 1 / scale))
