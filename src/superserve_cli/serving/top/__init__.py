"""What `superserve top` shows: a feed of samples from a server's `/live`, folded into figures, laid out as lines of text."""

from superserve_cli.serving.top.feed import Feed
from superserve_cli.serving.top.frame import frame

__all__ = ["Feed", "frame"]
