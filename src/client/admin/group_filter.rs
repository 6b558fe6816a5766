//! [`GroupFilter`]: which groups to list.

use crate::client::admin::{Admin, GroupListing, GroupState, GroupType};
use crate::error::Result;

/// Which groups [`Admin::list_groups_matching`] lists: those that match everything that is set here. An empty filter
/// matches all groups.
///
/// ```
/// use brokerless::admin::{GroupFilter, GroupState};
/// use brokerless::{Cluster, NewTopic};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> brokerless::Result<()> {
/// let admin = Cluster::in_memory().admin();
/// admin.create_topic(NewTopic::new("orders")).await?;
/// // A group that has only offsets.
/// admin.alter_group_offsets("billing", [(("orders", 0), 42)]).await.remove(0)?;
/// let empty = GroupFilter::default().states([GroupState::Empty]);
/// assert_eq!(admin.list_groups_matching(&empty).await?[0].group_id(), "billing");
/// let stable = GroupFilter::default().states([GroupState::Stable]);
/// assert!(admin.list_groups_matching(&stable).await?.is_empty());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFilter {
    states: Vec<GroupState>,
    types: Vec<GroupType>,
    protocol_types: Vec<String>,
}

impl GroupFilter {
    /// Only groups in one of these states (KIP-518); none given: in any.
    #[must_use]
    pub fn states(mut self, states: impl IntoIterator<Item = GroupState>) -> Self {
        self.states = states.into_iter().collect();
        self
    }

    /// Only groups of one of these types (KIP-848); none given: of any.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = GroupType>) -> Self {
        self.types = types.into_iter().collect();
        self
    }

    /// Only groups of one of these protocol types, such as `consumer`; the empty one is that of groups which only
    /// keep offsets (KIP-1043). None given: of any.
    #[must_use]
    pub fn protocol_types(mut self, protocol_types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.protocol_types = protocol_types.into_iter().map(Into::into).collect();
        self
    }

    fn matches(&self, group: &GroupListing) -> bool {
        fn allows<T: PartialEq<U>, U: ?Sized>(allowed: &[T], value: &U) -> bool {
            allowed.is_empty() || allowed.iter().any(|it| it == value)
        }
        allows(&self.states, &group.state())
            && allows(&self.types, &group.group_type())
            && allows(&self.protocol_types, group.protocol_type())
    }
}

impl Admin {
    /// The groups that match `filter`, ordered by id.
    pub async fn list_groups_matching(&self, filter: &GroupFilter) -> Result<Vec<GroupListing>> {
        let mut groups = self.list_groups().await?;
        groups.retain(|group| filter.matches(group));
        Ok(groups)
    }
}
