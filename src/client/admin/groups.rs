//! Consumer groups, as their coordinator sees them.

use std::fmt;

use bytes::Bytes;

use crate::client::admin::Admin;
use crate::cluster::group::{DescribedGroup, DescribedMember, ListedGroup};
use crate::error::{Error, ErrorCode, Result};
use crate::types::{BrokerId, ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition};

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupState {
    /// No member, but committed offsets.
    Empty,
    /// Members are joining.
    PreparingRebalance,
    /// Members have joined and wait for the leader's assignment.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
    /// Gone.
    Dead,
    /// A state that this version does not know.
    Unknown,
}

impl GroupState {
    const ALL: [Self; 6] =
        [Self::Empty, Self::PreparingRebalance, Self::CompletingRebalance, Self::Stable, Self::Dead, Self::Unknown];

    /// Kafka's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
            Self::Unknown => "Unknown",
        }
    }

    fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.name() == name).unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// By which protocol a group works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupType {
    /// The classic one: a leader assigns.
    Classic,
}

impl GroupType {
    /// Kafka's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classic => "Classic",
        }
    }
}

impl fmt::Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One line of [`Admin::list_groups`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    group_id: String,
    protocol_type: String,
    state: GroupState,
}

impl GroupListing {
    fn new(group: ListedGroup) -> Self {
        let state = GroupState::from_name(group.state);
        Self { group_id: group.group_id, protocol_type: group.protocol_type, state }
    }

    /// The group's id.
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// `consumer` for groups of consumers; empty for a group that only committed offsets.
    pub fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    /// Where it stands.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// By which protocol it works; a group that only committed offsets counts as classic, as in Kafka.
    pub fn group_type(&self) -> GroupType {
        GroupType::Classic
    }
}

/// A group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    group_id: String,
    state: GroupState,
    protocol_type: String,
    protocol: String,
    coordinator: BrokerId,
    members: Vec<MemberDescription>,
}

impl GroupDescription {
    fn new(group: DescribedGroup, coordinator: BrokerId) -> Result<Self> {
        let is_consumer = matches!(&*group.protocol_type, "consumer" | "");
        let members = group
            .members
            .into_iter()
            .map(|member| MemberDescription::new(&group.group_id, member, is_consumer))
            .collect::<Result<_>>()?;
        Ok(Self {
            state: GroupState::from_name(group.state),
            group_id: group.group_id,
            protocol_type: group.protocol_type,
            protocol: group.protocol,
            coordinator,
            members,
        })
    }

    /// The group's id.
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// Where it stands.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// `consumer` for groups of consumers; empty for a group that only committed offsets.
    pub fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    /// The assignor that the members agreed on, such as `range`; empty unless the group is stable.
    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    /// The broker that coordinates it.
    pub fn coordinator(&self) -> BrokerId {
        self.coordinator
    }

    /// The members, in no particular order.
    pub fn members(&self) -> &[MemberDescription] {
        &self.members
    }
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    member_id: String,
    group_instance_id: Option<String>,
    client_id: String,
    client_host: String,
    subscription: Vec<String>,
    assignment: Vec<TopicPartition>,
}

impl MemberDescription {
    /// Groups that do not consist of consumers have bytes of their own here; those stay unread.
    fn new(group_id: &str, member: DescribedMember, is_consumer: bool) -> Result<Self> {
        let DescribedMember { member_id, group_instance_id, client_id, client_host, metadata, assignment } = member;
        let unreadable = |what: &str| {
            let message = format!("the {what} of member {member_id} of group {group_id} is not a consumer's");
            Error::new(ErrorCode::InconsistentGroupProtocol, message)
        };
        // A member that has not been assigned yet shows no bytes.
        let is_there = |bytes: &Bytes| is_consumer && !bytes.is_empty();
        let subscription = match is_there(&metadata) {
            true => ConsumerProtocolSubscription::decode(&metadata)
                .map_err(|error| unreadable("subscription").with_source(error))?,
            false => ConsumerProtocolSubscription::default(),
        };
        let assignment = match is_there(&assignment) {
            true => ConsumerProtocolAssignment::decode(&assignment)
                .map_err(|error| unreadable("assignment").with_source(error))?,
            false => ConsumerProtocolAssignment::default(),
        };
        Ok(Self {
            member_id,
            group_instance_id,
            client_id,
            client_host,
            subscription: subscription.topics,
            assignment: assignment.partitions,
        })
    }

    /// The id that the coordinator gave to the member.
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// `group.instance.id` of a static member.
    pub fn group_instance_id(&self) -> Option<&str> {
        self.group_instance_id.as_deref()
    }

    /// The member's `client.id`.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Where the member connects from.
    pub fn client_host(&self) -> &str {
        &self.client_host
    }

    /// The topics that it subscribes to; empty unless the group is stable.
    pub fn subscription(&self) -> &[String] {
        &self.subscription
    }

    /// The partitions that it was assigned; empty unless the group is stable.
    pub fn assignment(&self) -> &[TopicPartition] {
        &self.assignment
    }
}

impl Admin {
    /// All groups, ordered by id.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        self.cluster.check_open()?;
        Ok(self.cluster.list_groups().into_iter().map(GroupListing::new).collect())
    }

    /// A group and its members.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND` (KIP-1043); `INVALID_GROUP_ID` for the empty id; `INCONSISTENT_GROUP_PROTOCOL` for a member
    /// of a group of consumers whose bytes are not a consumer's.
    pub async fn describe_group(&self, group_id: impl AsRef<str>) -> Result<GroupDescription> {
        self.cluster.check_open()?;
        let group_id = group_id.as_ref();
        check_group_id(group_id)?;
        let group = self.cluster.describe_group(group_id);
        check(group.error, group_id)?;
        GroupDescription::new(group, self.cluster.group_coordinator(group_id))
    }

    /// Groups and their members. Errors as for [`Admin::describe_group`].
    pub async fn describe_groups<G: AsRef<str>>(
        &self,
        group_ids: impl IntoIterator<Item = G>,
    ) -> Vec<Result<GroupDescription>> {
        let mut groups = Vec::new();
        for group_id in group_ids {
            groups.push(self.describe_group(group_id).await);
        }
        groups
    }

    /// Deletes a group without members, with its committed offsets.
    ///
    /// # Errors
    /// `NON_EMPTY_GROUP`; `GROUP_ID_NOT_FOUND`; `INVALID_GROUP_ID` for the empty id.
    pub async fn delete_group(&self, group_id: impl AsRef<str>) -> Result<()> {
        self.cluster.check_open()?;
        let group_id = group_id.as_ref();
        check_group_id(group_id)?;
        check(self.cluster.delete_group(group_id).await, group_id)
    }

    /// Deletes groups, each on its own. Errors as for [`Admin::delete_group`].
    pub async fn delete_groups<G: AsRef<str>>(&self, group_ids: impl IntoIterator<Item = G>) -> Vec<Result<()>> {
        let mut deleted = Vec::new();
        for group_id in group_ids {
            deleted.push(self.delete_group(group_id).await);
        }
        deleted
    }
}

/// Kafka's admin client does not even ask a coordinator about the empty id.
fn check_group_id(group_id: &str) -> Result<()> {
    if group_id.is_empty() {
        let message = "The given group id '' cannot be represented in a request.";
        return Err(Error::new(ErrorCode::InvalidGroupId, message));
    }
    Ok(())
}

fn check(code: ErrorCode, group_id: &str) -> Result<()> {
    match code {
        ErrorCode::None => Ok(()),
        ErrorCode::GroupIdNotFound => Err(Error::new(code, format!("Group {group_id} not found."))),
        _ => Err(Error::new(code, format!("group {group_id}: {}", code.message()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(metadata: Bytes, assignment: Bytes) -> DescribedMember {
        DescribedMember {
            member_id: "m".into(),
            group_instance_id: Some("i".into()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            metadata,
            assignment,
        }
    }

    fn group(state: &'static str, protocol_type: &str, members: Vec<DescribedMember>) -> DescribedGroup {
        DescribedGroup {
            error: ErrorCode::None,
            group_id: "g".into(),
            state,
            protocol_type: protocol_type.into(),
            protocol: "range".into(),
            members,
        }
    }

    #[test]
    fn a_consumers_bytes_are_read() {
        let subscription = ConsumerProtocolSubscription { topics: vec!["t".into()], ..Default::default() };
        let partitions = vec![TopicPartition::new("t", 0), TopicPartition::new("t", 2)];
        let assignment = ConsumerProtocolAssignment { partitions: partitions.clone(), user_data: None };
        let members = vec![member(subscription.encode(), assignment.encode())];
        let group = GroupDescription::new(group("Stable", "consumer", members), BrokerId(1)).unwrap();
        assert_eq!((group.state(), group.protocol(), group.coordinator()), (GroupState::Stable, "range", BrokerId(1)));
        let member = &group.members()[0];
        assert_eq!(member.subscription(), ["t"]);
        assert_eq!(member.assignment(), partitions);
        assert_eq!(member.group_instance_id(), Some("i"));
    }

    #[test]
    fn members_without_bytes_have_nothing_yet() {
        let members = vec![member(Bytes::new(), Bytes::new())];
        let group = GroupDescription::new(group("PreparingRebalance", "consumer", members), BrokerId(1)).unwrap();
        assert_eq!(group.state(), GroupState::PreparingRebalance);
        assert!(group.members()[0].subscription().is_empty() && group.members()[0].assignment().is_empty());
    }

    #[test]
    fn foreign_bytes_are_an_error_for_consumers_only() {
        let broken = || vec![member(Bytes::from_static(b"x"), Bytes::from_static(b"x"))];
        let error = GroupDescription::new(group("Stable", "consumer", broken()), BrokerId(1)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InconsistentGroupProtocol);
        let group = GroupDescription::new(group("Stable", "connect", broken()), BrokerId(1)).unwrap();
        assert!(group.members()[0].assignment().is_empty());
    }

    #[test]
    fn states_are_read_by_kafkas_names() {
        for state in GroupState::ALL {
            assert_eq!(GroupState::from_name(state.name()), state);
        }
        assert_eq!(GroupState::from_name("Reconciling"), GroupState::Unknown);
    }
}
