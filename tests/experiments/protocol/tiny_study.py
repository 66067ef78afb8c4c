"""A study as small as it can be and still be real: eight modes of the Cauchy problem on a coarse mesh."""

RECIPE = """
seed = 5
[problem]
kind = "cauchy"
depth = 0.3
modes = 8
[mesh]
cells = 4
degree = 2
[store]
shard = 60
[splits.train]
samples = 120
[splits.valid]
samples = 30
mesh = { cells = 5, degree = 2 }
[splits.test]
samples = 40
mesh = { cells = 5, degree = 2 }
[splits.test_inverse_crime]
samples = 20
inverse_crime = true
"""

STUDY = """
title = "tiny"
seeds = 2
ensemble = 4
levels = [0.0, 0.02, 0.1]
resimulate = 3
yardsticks = ["prior-mean", "mmse", "gauss-newton"]
[network]
width = 8
epochs = 4
batch = 30
draws = 2
components = 12
scale = "common"
amplitude = "linear"
[data.cauchy]
recipe = "RECIPE"
title = "Cauchy"
[arms.fixed-unit]
label = "fixed steps, T = 1"
time = "fixed"
[arms.fixed-tuned]
label = "fixed steps, tuned T"
time = "fixed"
horizon = "tuned"
[arms.positive]
label = "learned steps"
time = "positive"
[arms.free]
label = "free steps"
time = "free"
[tuning]
trials = 2
[[grid]]
data = ["cauchy"]
families = ["resnet", "fractional"]
arms = ["fixed-unit", "fixed-tuned", "positive", "free"]
layers = [2]
noise = [0.02]
[[grid]]
data = ["cauchy"]
families = ["feed-forward"]
arms = ["fixed-unit", "positive"]
layers = [2]
noise = [0.02]
seeds = 1
[[comparisons]]
baseline = "fixed-unit"
other = "positive"
question = "Do learned steps help at T = 1?"
[[comparisons]]
baseline = "fixed-unit"
other = "fixed-tuned"
question = "Does the horizon?"
[quick]
seeds = 1
[quick.tuning]
trials = 1
"""


def write(folder):
    """The recipe and the study as files in a folder; the path of the study."""
    (folder / "recipe.toml").write_text(RECIPE)
    file = folder / "tiny.toml"
    file.write_text(STUDY.replace("RECIPE", str(folder / "recipe.toml")))
    return file
