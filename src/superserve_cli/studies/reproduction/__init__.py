"""The experiments of the SuperServe paper, run again, and what becomes of its claims."""

from superserve_cli.studies.reproduction.asked import Asked, ask
from superserve_cli.studies.reproduction.cells import Store
from superserve_cli.studies.reproduction.page import summary
from superserve_cli.studies.reproduction.results import Results, as_json, results
from superserve_cli.studies.reproduction.running import run
from superserve_cli.studies.reproduction.write import claim_folder, write

__all__ = ["Asked", "Results", "Store", "as_json", "ask", "claim_folder", "results", "run", "summary", "write"]
