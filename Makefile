# `verify` never writes into the tree; `fix` does.
# How long a chaos run is; SEED=n repeats the schedule of another run.
MINUTES ?= 10
# What the nodes of a chaos run are made of: namespaces, or compose.
BACKEND ?= namespaces

.PHONY: chaos demo sim test test-compose test-versions bench mutations verify fix setup release

setup:
	@scripts/setup

release: setup
	cargo build --release --locked

demo: release
	target/release/witch demo

test:
	@scripts/setup tests
	scripts/verify

bench: release
	cargo run --release --locked -p chaos --bin bench -- --witch target/release/witch --json target/bench.json

chaos: release
	cargo build --release --locked -p chaos --bin chaos
	$(if $(filter compose,$(BACKEND)),scripts/docker-engine deploy/docker/base-image --then) \
	  target/release/chaos run --backend $(BACKEND) --witch target/release/witch --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# The black box on every PostgreSQL that can be had; `make test-versions VERSIONS="17 19"` takes only these.
test-versions: setup
	VERSIONS="$(VERSIONS)" scripts/test-versions

# What `test` leaves out, because it installs a container engine where there is none: the containers of the chaos harness, and a minute in them.
test-compose: setup
	cargo build --locked -p witch
	cargo test --locked -p chaos --lib --no-run
	cargo build --locked -p chaos --bin chaos
	scripts/docker-engine deploy/docker/base-image --then scripts/test-compose

# `make sim SEED=7` tells one story, `make sim MINUTES_OF_SIM=60` goes on for so long, from seed FROM on; otherwise SEEDS.
SEEDS ?= 0..2000
sim: setup
	WITCH_COMMIT=$$(git rev-parse --short HEAD 2>/dev/null || echo unknown) \
	  cargo build --locked --quiet -p chaos --no-default-features --bin sim --profile sim
	target/sim/sim $(if $(SEED),--seed $(SEED) --explain,$(if $(MINUTES_OF_SIM),--minutes $(MINUTES_OF_SIM) --from $(or $(FROM),0),--seeds $(SEEDS)))

# `make mutations ONLY="03 07"` tries only these.
mutations: setup
	@scripts/mutations $(ONLY)

verify: test

fix:
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	BLESS=1 cargo test -p actors --no-default-features --test documents
