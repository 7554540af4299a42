# embodied_nav without ROS from apt. On a ROS 2 machine use rosdep and colcon instead (README.md).

# set_up.py picks the Python for .venv itself; this one only has to run set_up.py.
python := $(shell for p in $(PYTHON) python3 python3.12 python3.11 python3.13 python; do \
            $$p -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1 && echo $$p && break; done)
bin := .venv/bin
# One thread each: the tests run in several processes already, and spinning threads starve the ROS graph.
threads := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
pytest := $(threads) $(bin)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench lint docs gpu-check coverage picture clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv with ROS 2, messages, the embodied-nav command, compiled kernels (EXTRAS="vlm train" adds extras)
	@test -n "$(python)" || { echo "embodied-nav: error: no Python found; install Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	@EXTRAS="$(EXTRAS)" PYTHON="$(PYTHON)" $(python) scripts/set_up.py

demo: setup ## drive the robot through an apartment; writes runs/demo/ (ARGS="--seed 3" and the like)
	@$(bin)/embodied-nav demo --out runs/demo $(ARGS)

# Tests run two at a time; a whole graph at the camera's rate needs both cores. 5: pytest found none (ARGS chose others).
test: setup ## run the tests (ARGS="-k memory" and the like)
	@$(pytest) -n 2 -m "not ros" $(ARGS); pure=$$?; $(pytest) -n 2 --dist loadfile -m "ros and not both_cores" $(ARGS); nodes=$$?; \
	$(pytest) -m both_cores $(ARGS); graph=$$?; \
	case "$$pure$$nodes$$graph" in 555|*[!05]*) exit 1 ;; esac

bench: setup ## run the benchmarks (minutes)
	@for b in bench/bench_*.py; do echo "== $$b"; $(threads) $(bin)/python $$b || exit 1; done

lint: setup ## check style, types and the links of the documentation
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	@$(bin)/python scripts/docs_site.py

docs: setup ## build the documentation as a site into site/ (site/index.html opens from the disk)
	@$(bin)/python scripts/docs_site.py --out site && echo "site/index.html"

gpu-check: setup ## run what needs a GPU, 6 minutes at most; says so where there is none (ARGS="--require" fails then)
	@$(threads) $(bin)/python -P scripts/gpu_check.py --out runs/gpu-check.json $(ARGS)

coverage: setup ## run the tests and print how much of each room they run (ARGS as for test)
	rm -f .coverage .coverage.*
	$(threads) $(bin)/coverage run -m pytest $(ARGS)
	$(bin)/coverage combine -q
	$(bin)/coverage json -q -o .coverage.json
	@$(bin)/python scripts/coverage_by_room.py .coverage.json

picture: ## print who imports whom (ARGS="memory" inside a folder, ARGS="--svg house.svg" as a picture)
	@$(python) scripts/import_picture.py $(ARGS)

clean: ## remove what set-up, colcon and the runs made
	rm -rf .venv .venv.old build install log runs site .pytest_cache .hypothesis .ruff_cache .mypy_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
