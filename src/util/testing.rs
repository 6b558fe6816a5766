//! How property tests are run: how many cases, and which ones.

use proptest::test_runner::{Config, RngSeed};

/// So many cases, the same in each run. `PROPTEST_CASES` makes all property tests longer, or shorter, and
/// `PROPTEST_RNG_SEED` (a number) has them look elsewhere.
pub(crate) fn cases(default: u32) -> Config {
    with_defaults(default, |variable| std::env::var_os(variable).is_some())
}

fn with_defaults(cases: u32, is_set: impl Fn(&str) -> bool) -> Config {
    let mut config = Config::default();
    if !is_set("PROPTEST_CASES") {
        config.cases = cases;
    }
    if !is_set("PROPTEST_RNG_SEED") {
        config.rng_seed = RngSeed::Fixed(0);
    }
    config
}

#[test]
fn the_environment_has_the_last_word() {
    let from_environment = Config::default();
    let more = from_environment.cases + 7;
    let left_alone = with_defaults(more, |_| true);
    assert_eq!((left_alone.cases, left_alone.rng_seed), (from_environment.cases, from_environment.rng_seed));
    let config = with_defaults(more, |_| false);
    assert_eq!((config.cases, config.rng_seed), (more, RngSeed::Fixed(0)));
}
