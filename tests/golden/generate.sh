#!/usr/bin/env bash
# Makes everything under tests/golden anew: batches by Apache Kafka's classes, batches by ours, and what Kafka's classes
# read of both. Needs Java 17 or later, Maven and network. `cargo test` only reads the results.
set -euo pipefail
cd "$(dirname "$0")"

jars=generator/target/jars
mvn -q -B -f generator/pom.xml dependency:copy-dependencies -DoutputDirectory="$PWD/$jars"
golden() { java -cp "$jars/*" generator/Golden.java "$@"; }

golden write kafka
golden dump kafka

BROKERLESS_WRITE_GOLDEN=1 cargo test -q --lib --features zstd record::tests::golden::our_batches
golden dump brokerless

cargo test -q --features zstd --lib record::tests::golden
cargo test -q --features zstd --test records
