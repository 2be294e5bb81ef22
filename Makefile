# One virtual environment, made when it is first needed. PYTHON names the interpreter (3.11 or newer), VENV the folder.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SUPERSERVE := $(BIN)/superserve
PORT ?= 8321
READY := $(VENV)/ready

.PHONY: test clients demo check bench bench-peers chaos gpu docs reproduction format clean

test: $(READY)
	$(BIN)/python -m pytest

# Other projects' clients against our server, each suite in a virtual environment of its own. SUITES=NAME,NAME chooses, CLIENTS says where.
CLIENTS ?= clients/venvs
clients: $(READY)
	$(BIN)/python clients/run.py --venvs $(CLIENTS) $(if $(SUITES),--only $(SUITES))

check: $(READY)
	$(BIN)/ruff check src tests docs clients
	$(BIN)/ruff format --check src tests docs clients
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/make_cli.py --check

# The whole job on the shipped SuperNet: measure it here, replay one trace in simulation and against a live server, compare the two.
# Exit code 4: this machine was too busy for the live run to prove anything; it is shown, and says so.
demo: $(READY)
	rm -rf demo && mkdir demo
	$(SUPERSERVE) profile --rounds 30 --out demo/profile.parquet
	$(SUPERSERVE) replay --trace azure --profile demo/profile.parquet --policy slackfit --workers 1 \
	    --slo-ms 100 --load 0.4 --duration 30 --out demo/simulated
	$(SUPERSERVE) serve --profile demo/profile.parquet --policy slackfit --slo-ms 100 --port $(PORT) --grpc-port 0 & server=$$!; \
	    trap 'kill $$server; wait $$server' EXIT; \
	    $(SUPERSERVE) replay --trace azure --target http://127.0.0.1:$(PORT) --wait 60 --load 0.4 --duration 30 --out demo/live \
	        || test $$? = 4
	$(SUPERSERVE) compare demo/simulated demo/live --allow-different kind
	$(SUPERSERVE) report demo/simulated demo/live --out demo
	@echo "look at demo/report.html"

bench: $(READY)
	$(SUPERSERVE) bench simulate
	$(SUPERSERVE) bench decide
	$(SUPERSERVE) bench actuate
	$(SUPERSERVE) bench subnetact
	$(SUPERSERVE) bench start
	$(SUPERSERVE) bench serve

# Our server beside MLServer, Ray Serve, LitServe and Triton, each in a virtual environment of its own: see bench/peers/README.md.
bench-peers: $(READY)
	$(SUPERSERVE) bench peers --peers bench/peers

# What becomes of requests while processes are killed, stopped, slowed, flooded and lied to, and its page: some eight minutes.
chaos: $(READY)
	mkdir -p runs
	$(SUPERSERVE) bench faults --json > runs/faults.json
	$(BIN)/python docs/make_faults.py runs/faults.json

# Runs with the machine's own python3 and packages, without a virtual environment: a GPU machine has its own build of torch.
gpu:
	PYTHON=$(PYTHON) PYTHONPATH=src sh scripts/gpu.sh

docs: $(READY)
	$(BIN)/python docs/make_cli.py

# The paper's experiments anew, and their page. AZURE names an invocation file of Azure Functions 2019 to take the synthetic trace's place.
reproduction: $(READY)
	$(SUPERSERVE) reproduce --overwrite --out runs/reproduction $(if $(AZURE),--azure $(AZURE))
	rm -rf docs/reproduction
	cp -r runs/reproduction/reproduction.md runs/reproduction/reproduction docs/

format: $(READY)
	$(BIN)/ruff check --fix src tests docs clients
	$(BIN)/ruff format src tests docs clients

clean:
	rm -rf $(VENV) $(CLIENTS) demo gpu runs

# torch first, by itself: an index that offers a build for this machine's device then decides which one it is
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
