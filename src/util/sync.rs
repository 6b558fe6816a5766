//! Locks, atomics and once-cells whose interleavings loom can run through.
//!
//! In every build but one these are `parking_lot`'s mutex and the standard library's types themselves. With
//! `--cfg brokerless_loom` they are loom's, made to look the same, and
//! `RUSTFLAGS="--cfg brokerless_loom" CARGO_TARGET_DIR=target/loom cargo test --release --lib loom` runs the tests
//! `#[cfg(all(test, brokerless_loom))] mod loom_tests`, each inside of `loom::model`. In such a build nothing else runs:
//! these types may only be made within a model. `Arc` and `Waker` stay the standard library's.
//!
//! Types whose protocol between threads is subtle take theirs from here; the others have no need to.

#[cfg(not(brokerless_loom))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(not(brokerless_loom))]
pub(crate) use std::sync::OnceLock;

#[cfg(not(brokerless_loom))]
pub(crate) mod atomic {
    #[allow(unused_imports, reason = "what loom's half offers, too")]
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

#[cfg(brokerless_loom)]
pub(crate) mod atomic {
    #[allow(unused_imports, reason = "what the other half offers, too")]
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

#[cfg(brokerless_loom)]
pub(crate) use under_loom::{Mutex, MutexGuard, OnceLock};

#[cfg(brokerless_loom)]
mod under_loom {
    use super::atomic::{AtomicBool, Ordering};

    pub(crate) use loom::sync::MutexGuard;

    /// Loom's mutex with `parking_lot`'s methods: nothing is poisoned.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T: ?Sized>(loom::sync::Mutex<T>);

    #[allow(dead_code, reason = "what parking_lot's offers, too")]
    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model that panics is over")
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().expect("a model that panics is over")
        }

        pub(crate) fn into_inner(self) -> T {
            self.0.into_inner().expect("a model that panics is over")
        }
    }

    /// The standard library's cell, its publication made visible to loom.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        value: std::sync::OnceLock<T>,
        is_set: AtomicBool,
        /// Setters that come second wait for the first, as they do in the standard library.
        setting: Mutex<()>,
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            Self::new()
        }
    }

    #[allow(dead_code, reason = "what the standard library's offers, too")]
    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self { value: std::sync::OnceLock::new(), is_set: AtomicBool::new(false), setting: Mutex::new(()) }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            if self.is_set.load(Ordering::Acquire) { self.value.get() } else { None }
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            let _setting = self.setting.lock();
            self.value.set(value)?;
            self.is_set.store(true, Ordering::Release);
            Ok(())
        }

        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            if self.get().is_none() {
                let _setting = self.setting.lock();
                if !self.is_set.load(Ordering::Acquire) {
                    drop(self.value.set(make()));
                    self.is_set.store(true, Ordering::Release);
                }
            }
            self.value.get().expect("it was just set")
        }
    }
}
