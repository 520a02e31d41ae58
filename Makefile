# `verify` never writes into the tree; `fix` does.
# How long a chaos run is; SEED=n repeats the schedule of another run.
MINUTES ?= 10
# What the nodes of a chaos run are made of: namespaces, or compose.
BACKEND ?= namespaces

.PHONY: chaos demo test bench verify fix setup release

setup:
	@scripts/setup

release: setup
	cargo build --release --locked

demo: release
	target/release/witch demo

test: setup
	scripts/verify

bench: release
	cargo run --release --locked -p chaos --bin bench -- --witch target/release/witch --json target/bench.json

chaos: release
	cargo build --release --locked -p chaos --bin chaos
	$(if $(filter compose,$(BACKEND)),scripts/docker-engine deploy/docker/base-image --then) \
	  target/release/chaos run --backend $(BACKEND) --witch target/release/witch --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

verify: test

fix:
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	BLESS=1 cargo test -p actors --no-default-features --test documents
