from superserve_cli.core.nouns import Subnet
from superserve_cli.policies.peers.clockwork import full_batches
from superserve_cli.policies.peers.models import one_model
from superserve_cli.policies.policy import Control, Policy
from superserve_cli.profiles.profile import Profile


def alpaserve(name: str, subnet: Subnet) -> Policy:
    """AlpaServe (OSDI 2023) on one model in one stage: a request is rejected at its arrival unless its simulated finish is in time.

    As alpa_serve/simulator/controller.py does: a clock per worker adds up the requests it was given, one by one and first come, first
    served; a request goes to the earliest clock. What is admitted runs in the largest full batch that keeps the head's deadline (its
    batched controller). The clocks know nothing of batches, so it admits what the workers could serve without them.
    """
    own = one_model(subnet)

    def control(profile: Profile, workers: int, slo_ns: int) -> Control:
        model = own(profile)
        return Control((Policy(name, full_batches, own),), admit_ns=model.plan_ns(model.subnets[0], model.smallest))

    return Policy(name, full_batches, own, control=control)
