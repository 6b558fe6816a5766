//! Entry points for the targets under `fuzz/`, which see nothing private. Compiled under `--cfg fuzzing` only.
