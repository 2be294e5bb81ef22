from superserve_cli.core.nouns import WAIT, Choice, Choose, Subnet
from superserve_cli.policies.peers.models import one_model
from superserve_cli.policies.policy import Build, Control, Policy
from superserve_cli.profiles.profile import Profile


def clipper_aimd(name: str, subnet: Subnet) -> Policy:
    """Clipper's adaptive batching (NSDI 2017, 4.3) as Proteus re-implements it (core/predictor.py): no plan, only feedback.

    Each worker begins with batches of one, waits until its batch is full, takes the next larger profiled size after a batch that was
    in time, and the next smaller one after a batch of which a request was late. Nothing tells it to stop waiting: a request is
    dropped when it has been late for as long as the run's SLO (with that SLO: at twice its age). So it finds the largest batch by
    missing deadlines, also under the late rule `drop`.
    """
    own = one_model(subnet)

    def control(profile: Profile, workers: int, slo_ns: int) -> Control:
        levels = range(len(profile.batch_sizes))
        modes = tuple(Policy(name, _full_batches(profile.batch_sizes[level], slo_ns), own) for level in levels)
        return Control(modes, met=(*levels[1:], levels[-1]), late=(levels[0], *levels[:-1]))

    return Policy(name, _full_batches(1, 0), own, control=control)


def _full_batches(size: int, slo_ns: int) -> Build:
    def build(profile: Profile, workers: int) -> Choose:
        (subnet,) = profile.subnets
        choice = Choice(subnet, max(size, profile.smallest))

        def choose(slack_ns: int, depth: int) -> Choice | None:
            if slack_ns < -slo_ns:
                return None
            return choice if depth >= size else WAIT

        return choose

    return build
