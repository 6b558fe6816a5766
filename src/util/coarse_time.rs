//! [`ticks`]: a counter that costs a third of any clock, to see whether a clock reading is still fresh.
//!
//! Nothing here is the cluster's time: that is its clock's business.

#![allow(unsafe_code)]

/// The processor's time stamp counter; `None` where it cannot be read from here, and a clock must be read each time.
///
/// It counts at some 2-4 GHz on anything current, and says nothing about wall time. It may jump when a virtual machine
/// moves: compare readings with a wrapping subtraction, so that a jump in either direction reads as "long ago".
#[inline]
pub(crate) fn ticks() -> Option<u64> {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        // SAFETY: RDTSC belongs to the baseline of x86_64, touches no memory, and no supported system traps it in user
        // mode unless the process itself asked for that.
        Some(unsafe { core::arch::x86_64::_rdtsc() })
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    None
}

/// The system's own clock, which `tokio::time::pause` does not stop: to tell whether time is virtual, not to act by.
pub(crate) fn system_now() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_go_on() {
        let Some(first) = ticks() else { return };
        let passed = (0..1_000).map(|_| ticks().unwrap().wrapping_sub(first)).max().unwrap();
        assert!(passed > 0);
    }
}
