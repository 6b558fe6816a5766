//! The end of a run: its segments take the place of those that they were made from.

use crate::log::LogError;
use crate::log::compaction::Compaction;
use crate::log::log::Log;
use crate::log::segment::Segment;
use crate::log::store::SegmentStore;

impl<S: SegmentStore> Log<S> {
    /// Puts the segments of a run that is through in the place of the old ones. False if the log was truncated since the
    /// run began, or is no longer to be compacted: then nothing happens, and the next run begins anew.
    ///
    /// What retention has deleted meanwhile stays deleted. The log keeps up to one segment more than it needs then, of
    /// which nothing below the log start is readable, and which goes as any other does.
    ///
    /// The old batches are still held by `compaction`, to be freed without the log: see [`Compaction::release`].
    pub(crate) fn finish_compaction(&mut self, compaction: &mut Compaction<S>) -> Result<bool, LogError> {
        if compaction.truncations != self.truncations || !self.config.cleanup_policy.compact {
            return Ok(false);
        }
        let end = compaction.filter.end;
        let first_left = self.segments[0].base_offset();
        let old: Vec<_> = {
            let count = self.segments.partition_point(|segment| segment.base_offset() < end);
            let rewritten = compaction.rewritten();
            let left = &rewritten[rewritten.partition_point(|source| source.base_offset < first_left)..];
            assert!(
                left.iter().map(|source| source.base_offset).eq(self
                    .segments
                    .iter()
                    .take(count)
                    .map(Segment::base_offset)),
                "segments change only by truncation and from the front"
            );
            self.segments.drain(..count).collect()
        };
        let mut cleaned = std::mem::take(&mut compaction.progress.cleaned);
        if old.is_empty() {
            cleaned.clear();
        }
        // A new segment ends where the next begins.
        let gone = cleaned.iter().skip(1).take_while(|next| next.base_offset() <= first_left).count();
        cleaned.drain(..gone);
        for segment in &old {
            self.size_in_bytes -= u64::from(segment.size_in_bytes());
        }
        for segment in &cleaned {
            self.size_in_bytes += u64::from(segment.size_in_bytes());
        }
        let old = old.into_iter().map(|segment| segment.into_parts().0).collect();
        let new = cleaned.iter_mut().map(Segment::batches_mut).collect();
        self.store.replace(old, new).map_err(LogError::storage(&self.topic_partition))?;
        for segment in cleaned.into_iter().rev() {
            self.segments.push_front(segment);
        }
        self.cleaned_to = end;
        self.debug_assert_invariants();
        Ok(true)
    }
}
