# Two commands matter: `make demo` runs the main job, `make test` passes the tests. `make live` shows the status page at
# work. Each makes its own environment.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PROGRAM = $(VENV)/.program
TOOLS = $(VENV)/.tools

.PHONY: demo live test soak check fuzz format install-systemd clean

demo: $(PROGRAM)
	$(BIN)/dacycle demo --workdir demo-work

live: $(PROGRAM)
	$(BIN)/dacycle demo --live --workdir live-work --steps 6

# GOMP_SPINCOUNT: as every command asks for (cycler/waiting.py); the tests' daemons and browser need the processors, too.
test: $(TOOLS)
	GOMP_SPINCOUNT=1000 $(BIN)/python -m pytest

# 120 simulated days of cycles with faults from a seeded list; the account comes at the end (docs/operations.md).
soak: $(TOOLS)
	PYTHONPATH=. OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.soak soak-work --days 120 --seed 0

check: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Hostile bytes for the readers of soundings, listings and zips, for so many seconds; atheris has wheels for CPython on Linux.
SECONDS ?= 1800
fuzz: $(PROGRAM)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,fuzz]'
	PYTHONPATH=. $(BIN)/python -m tests.fuzz.run --seconds $(SECONDS) --work fuzz-work

format: $(TOOLS)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The daemon as a service of this machine (docs/systemd.md). DESTDIR: into a tree, for a package. EXTRA_INDEX: where pip
# finds another build of torch. What is configured already stays as it is.
PREFIX ?= /opt/dacycle
UNITS = $(DESTDIR)/usr/lib/systemd/system
install-systemd: $(PREFIX)/bin/dacycle
	install -D -m 644 deploy/systemd/dacycle.service $(UNITS)/dacycle.service
	install -D -m 644 deploy/systemd/gpu.conf $(DESTDIR)/usr/share/doc/dacycle/gpu.conf
	install -D -m 644 deploy/systemd/workers.conf $(DESTDIR)/usr/share/doc/dacycle/workers.conf
	install -D -m 644 docs/systemd.md $(DESTDIR)/usr/share/doc/dacycle/systemd.md
	install -D -m 644 deploy/systemd/sysusers.conf $(DESTDIR)/usr/lib/sysusers.d/dacycle.conf
	install -D -m 644 deploy/systemd/tmpfiles.conf $(DESTDIR)/usr/lib/tmpfiles.d/dacycle.conf
	install -d $(DESTDIR)/etc/dacycle
	test -e $(DESTDIR)/etc/dacycle/dacycle.env \
		|| install -m 640 deploy/systemd/dacycle.env $(DESTDIR)/etc/dacycle/dacycle.env
	test -e $(DESTDIR)/etc/dacycle/dacycle.toml \
		|| $(PREFIX)/bin/dacycle config default | sed 's|^state = "state" *#|state = "/var/lib/dacycle" #|' \
			> $(DESTDIR)/etc/dacycle/dacycle.toml
	test -n "$(DESTDIR)" \
		|| { systemd-sysusers dacycle.conf && systemd-tmpfiles --create dacycle.conf && systemctl daemon-reload; }

$(PREFIX)/bin/dacycle:
	$(PYTHON) -m venv $(PREFIX)
	$(PREFIX)/bin/python -m pip install --constraint constraints.txt $(addprefix --extra-index-url ,$(EXTRA_INDEX)) \
		'.[distributed]'

$(PROGRAM): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip setuptools wheel
	$(BIN)/python -m pip install --constraint constraints.txt --editable .
	touch $@

# What tests and checks need besides; nobody who only runs the program downloads it.
$(TOOLS): $(PROGRAM)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[test,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist demo-work live-work soak-work fuzz-work .pytest_cache .mypy_cache .ruff_cache
