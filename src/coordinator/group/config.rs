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
    /// How long offsets outlive their group's last member, or their commit where the group has no say in it, in
    /// milliseconds. `offsets.retention.minutes`, default 10,080 (a week).
    pub(crate) offsets_retention_ms: i64,
    /// How often expired offsets are looked for, in milliseconds. `offsets.retention.check.interval.ms`, default 600,000.
    pub(crate) offsets_retention_check_interval_ms: i64,
    /// How many groups a cluster may have. No setting of Kafka's; default 100,000.
    pub(crate) max_groups: usize,
}

impl GroupConfig {
    /// Enough for any application; a group and an offset take some hundred bytes.
    pub(crate) const DEFAULT_MAX_GROUPS: usize = 100_000;
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            initial_rebalance_delay_ms: 3_000,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            max_size: i32::MAX as usize,
            offset_metadata_max_bytes: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_retention_check_interval_ms: 600_000,
            max_groups: Self::DEFAULT_MAX_GROUPS,
        }
    }
}
