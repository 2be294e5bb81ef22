from superserve_cli.supernet.layers import Embed, Plan
from superserve_cli.supernet.plan import layers


def vocabulary(plan: Plan) -> tuple[int, ...]:
    """How many words a network knows, and how many types of words where it tells them apart; nothing for a network of images."""
    embed = next((layer for layer in layers(plan) if isinstance(layer, Embed)), None)
    tables = () if embed is None else (embed.words, embed.types)
    return tuple(table.shape[0] for table in tables if table is not None)
