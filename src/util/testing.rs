//! How long property tests go on.

use proptest::test_runner::Config;

/// So many cases, unless `PROPTEST_CASES` says otherwise: one variable makes all of them longer, or shorter.
pub(crate) fn cases(default: u32) -> Config {
    with_cases(default, std::env::var_os("PROPTEST_CASES").is_some())
}

fn with_cases(default: u32, is_set: bool) -> Config {
    let config = Config::default();
    if is_set { config } else { Config { cases: default, ..config } }
}

#[test]
fn the_environment_has_the_last_word() {
    let from_environment = Config::default().cases;
    assert_eq!(with_cases(from_environment + 7, true).cases, from_environment);
    assert_eq!(with_cases(from_environment + 7, false).cases, from_environment + 7);
}
