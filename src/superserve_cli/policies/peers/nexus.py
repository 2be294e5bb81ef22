from superserve_cli.core.nouns import WAIT, Choice, Choose, Subnet
from superserve_cli.policies.greedy import largest_batch
from superserve_cli.policies.peers.models import one_model
from superserve_cli.policies.policy import Build, Control, Policy
from superserve_cli.profiles.profile import Profile


def nexus(name: str, subnet: Subnet) -> Policy:
    """Nexus (SOSP 2019) on one model: one target batch, and early drop of whoever would make it smaller.

    The target is the largest batch that takes at most half of the SLO (squishy bin packing, 6.1), or else the smallest one. A head
    that has no time for it is dropped while enough requests wait behind it to fill it (early drop, 6.3); where they do not, the
    batch runs when the head can wait no longer, as in Proteus' re-implementation (core/predictor.py).
    """
    own = one_model(subnet)

    def control(profile: Profile, workers: int, slo_ns: int) -> Control:
        model = own(profile)
        return Control((Policy(name, _towards(largest_batch(model, model.subnets[0], slo_ns // 2) or model.smallest), own),))

    def without_slo(profile: Profile, workers: int) -> Choose:
        return _towards(profile.largest)(profile, workers)

    return Policy(name, without_slo, own, control=control)


def _towards(target: int) -> Build:
    def build(profile: Profile, workers: int) -> Choose:
        (subnet,) = profile.subnets
        target_ns = profile.plan_ns(subnet, target)

        def choose(slack_ns: int, depth: int) -> Choice | None:
            if depth >= target and slack_ns >= target_ns:
                return Choice(subnet, target)
            if slack_ns > target_ns:
                return WAIT
            if depth > target:
                return None
            size = largest_batch(profile, subnet, slack_ns)
            return None if size is None else Choice(subnet, min(size, target))

        return choose

    return build
