"""The paper's headline on this machine: a real OFA-ResNet50 under bursts, one worker, measured from the graphs up to HTTP.

Its weights are random: latencies are real, answers mean nothing, and the accuracies are those that the paper names for six subnets.
"""

from superserve_cli.bench.headline.headline import Asked, headline, planned

__all__ = ["Asked", "headline", "planned"]
