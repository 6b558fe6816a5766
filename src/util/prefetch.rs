//! [`prefetch`]: tells the processor that memory will be written soon.

#![allow(unsafe_code)]

/// Bytes that the processor moves at a time, on nearly everything current.
const LINE: usize = 64;

/// Has the two lines of memory from `bytes[at]` on brought near, if they are in `bytes`. A hint: nothing waits for it.
#[inline(always)]
pub(crate) fn prefetch_two_lines(bytes: &[u8], at: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if at < bytes.len() {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first = bytes.as_ptr().wrapping_add(at).cast::<i8>();
        // SAFETY: a prefetch reads no memory as far as the program can tell, and never faults, whatever the address; and
        // SSE, which it takes, belongs to the baseline of x86_64.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(first);
            _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(LINE));
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = (bytes, at, LINE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_place_will_do() {
        let bytes = [7; 200];
        for at in [0, 100, 199, 200, usize::MAX] {
            prefetch_two_lines(&bytes, at);
        }
        assert_eq!(bytes, [7; 200]);
    }
}
