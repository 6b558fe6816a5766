//! Events and spans, behind the feature `tracing`.
//!
//! ```text
//! trace::event!(INFO, "topic deleted", topic = trace::display(name), partitions = count);
//! let _span = trace::span!(DEBUG, "rebalance", group = trace::display(group));   // until the end of the block
//! ```
//!
//! Without the feature the macros expand to a branch that is never taken: arguments are type-checked, not evaluated,
//! and nothing of it is compiled in.
//!
//! A subscriber is the application's code: emit with no lock held, and not for each record.

#![allow(
    unused_macros,
    unused_imports,
    dead_code,
    reason = "a bench builds a part of the crate, without those who emit"
)]

/// Emits an event: a level, what happened, fields. Values are numbers, `bool`s, `&str`, or made by [`display`].
#[cfg(feature = "tracing")]
macro_rules! event {
    ($level:ident, $message:literal $(, $key:ident = $value:expr)* $(,)?) => {
        ::tracing::event!(::tracing::Level::$level, $($key = $value,)* $message)
    };
}

/// Opens a span and enters it until the guard is dropped, which must not be held over an `.await`.
#[cfg(feature = "tracing")]
macro_rules! span {
    ($level:ident, $name:literal $(, $key:ident = $value:expr)* $(,)?) => {
        ::tracing::span!(::tracing::Level::$level, $name $(, $key = $value)*).entered()
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! event {
    ($level:ident, $message:literal $(, $key:ident = $value:expr)* $(,)?) => {
        if false {
            $(let _ = $value;)*
        }
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! span {
    ($level:ident, $name:literal $(, $key:ident = $value:expr)* $(,)?) => {{
        if false {
            $(let _ = $value;)*
        }
        $crate::util::trace::NoSpan
    }};
}

pub(crate) use event;
pub(crate) use span;

/// A field that is shown by its `Display`.
#[cfg(feature = "tracing")]
pub(crate) use tracing::field::display;

/// A field that is not shown.
#[cfg(not(feature = "tracing"))]
pub(crate) fn display<T>(_: T) {}

/// What a span is without the feature.
#[cfg(not(feature = "tracing"))]
pub(crate) struct NoSpan;

#[cfg(all(test, not(feature = "tracing")))]
mod tests {
    #[test]
    fn nothing_is_evaluated_or_stored_without_the_feature() {
        let span = super::span!(INFO, "span", field = super::display(unreachable_value()));
        super::event!(ERROR, "event", one = unreachable_value(), two = super::display(unreachable_value()));
        assert_eq!(size_of_val(&span), 0);
    }

    fn unreachable_value() -> u64 {
        panic!("a field was evaluated")
    }
}
