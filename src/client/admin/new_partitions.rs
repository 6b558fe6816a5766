//! [`NewPartitions`].

use crate::types::BrokerId;

/// How many partitions a topic is to have, and where the new ones go.
///
/// ```
/// use brokerless::admin::NewPartitions;
/// use brokerless::types::BrokerId;
/// let placed_by_the_cluster = NewPartitions::from(6);
/// let placed_by_hand = NewPartitions::increase_to(6).assignments([[BrokerId(1)], [BrokerId(1)]]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitions {
    pub(super) total: i32,
    pub(super) assignments: Option<Vec<Vec<BrokerId>>>,
}

impl NewPartitions {
    /// As many as are missing to `total`, on brokers that the cluster chooses.
    pub fn increase_to(total: i32) -> Self {
        Self { total, assignments: None }
    }

    /// The brokers of each new partition, the preferred leader first: one list for each that is added, as long as those of
    /// the partitions that are there.
    #[must_use]
    pub fn assignments<B: IntoIterator<Item: Into<BrokerId>>>(
        mut self,
        assignments: impl IntoIterator<Item = B>,
    ) -> Self {
        let brokers = |brokers: B| brokers.into_iter().map(Into::into).collect();
        self.assignments = Some(assignments.into_iter().map(brokers).collect());
        self
    }
}

impl From<i32> for NewPartitions {
    fn from(total: i32) -> Self {
        Self::increase_to(total)
    }
}
