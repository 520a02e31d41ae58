# `verify` never writes into the tree; `fix` does.
.PHONY: demo test bench mutations verify fix setup release

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

# `make mutations ONLY="03 07"` tries only these.
mutations: setup
	@scripts/mutations $(ONLY)

verify: test

fix:
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	BLESS=1 cargo test -p actors --no-default-features --test documents
