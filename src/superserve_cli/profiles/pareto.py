from superserve_cli.core.nouns import Subnet
from superserve_cli.profiles.profile import Profile


def front(profile: Profile, batch_size: int) -> list[Subnet]:
    """The subnets, fastest first, that no other beats in accuracy and planned latency at a batch size; of equals, the first.

    A subnet without an accuracy is in no front.
    """
    at = profile.batch_sizes.index(batch_size)
    known = [(row[at], -a, s) for s, row, a in zip(profile.subnets, profile.plan, profile.accuracies, strict=True) if a is not None]
    best, kept = -1.0, []
    for _, negative_accuracy, subnet in sorted(known):
        if -negative_accuracy > best:
            best = -negative_accuracy
            kept.append(subnet)
    return kept
