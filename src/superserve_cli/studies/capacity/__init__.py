"""How much a policy carries: what a person asks (`asked`), the search (`search`, `threshold`), and what is told (`answers`)."""
