"""What the page says of how things are compared."""

from typing import Final

DEFINITIONS: Final = """\
- **Seeds**: {seeds}; a figure is the mean over them. A claim over several cells is held to the worst of them, an *up to* to the best.
  {scale}
- **MAF** is {maf}; a file of the public data set goes in with `--azure FILE`.
- **Accuracy at equal attainment**: ours less that of the most accurate baseline (Clipper+ on each subnet shown, and INFaaS) whose
  attainment is at least ours less {epsilon:g}. Compared only where ours is at least {full}.
- **Attainment at equal accuracy**: ours over the highest of Clipper+ on the subnets whose accuracy is at least ours less {nearly:g} points.
  Compared only where ours is at least {full}.
- **Clipper+ (76.69)** and its like: on a profile with other accuracies, the subnet at the same place among the six shown, by accuracy.
- **Gap**: points of utility (accuracy × attainment) to a bound that no scheduler can pass, a clairvoyant one included. Where workers are
  lost it is the bound of all of them; where rates are looked for there is none.
- **Verdicts**: *{holds}* from the paper's number on; *{less}*: the same direction, a smaller number; *profile-dependent*: on some
  profiles only. Falls and rises without a number need {least} points; linear means that the most workers sustain at least {linear:g} of
  the rate per worker of the fewest.
- **Profiles**: {modelled} are modelled after the paper's test bed, whose own latencies are only a picture; nobody measured them. The
  paper's rates hold there as printed. On other profiles all rates are multiplied by what the fastest served subnet sustains at its best
  batch size, over the same on `{reference}`, which is fitted to the 2,000 to 8,000 requests/s of the paper's GPUs (Fig. 5c): the same
  utilisation. The SLO is the paper's 36 ms where the slowest batch fits, else 1.2 times that batch.
- **Actuation**: the paper does not describe the coarse policy of its Fig. 1; `switching` is ours.
- **Noise**: service times drawn from the measured quantiles of a profile that has them; otherwise every batch takes its planned time.
  Plans are 99th percentiles, so that with noise most batches are faster than planned, and the same rates are a lighter load."""
