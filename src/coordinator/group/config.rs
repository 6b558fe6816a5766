//! [`GroupConfig`].

/// The broker settings that the group coordinator obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupConfig {
    /// How long the first member of an empty group waits for others, in milliseconds; each member that comes meanwhile
    /// extends it, up to the rebalance timeout. `group.initial.rebalance.delay.ms`, default 3,000.
    pub(crate) initial_rebalance_delay_ms: i32,
    /// `group.min.session.timeout.ms`, default 6,000.
    pub(crate) min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`, default 1,800,000 (30 minutes).
    pub(crate) max_session_timeout_ms: i32,
    /// How many members a group may have. `group.max.size`, default 2,147,483,647.
    pub(crate) max_size: usize,
    /// How long the note beside a committed offset may be. `offset.metadata.max.bytes`, default 4,096; despite the
    /// property's name Kafka counts UTF-16 code units.
    pub(crate) offset_metadata_max_bytes: usize,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            initial_rebalance_delay_ms: 3_000,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            max_size: i32::MAX as usize,
            offset_metadata_max_bytes: 4_096,
        }
    }
}
