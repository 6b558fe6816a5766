//! The removal of members from a group.

use crate::client::admin::Admin;
use crate::cluster::group::{LeaveGroupMember, LeaveGroupRequest, LeaveGroupResponse};
use crate::error::{Error, ErrorCode, Result};

/// Kafka's admin client gives this reason where the caller gives none.
const DEFAULT_REASON: &str = "member was removed by an admin";

/// The longest reason that Kafka's clients send; what is longer is cut (KIP-800). They count UTF-16 code units.
const MAX_REASON_BYTES: usize = 255;

/// A member that [`Admin::remove_group_members`] is to remove.
///
/// Kafka's `MemberToRemove`, which knows static members only; the protocol takes both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberToRemove {
    member_id: String,
    group_instance_id: Option<String>,
}

impl MemberToRemove {
    /// The member with this id, as [`MemberDescription::member_id`](crate::admin::MemberDescription::member_id) has it.
    pub fn member_id(member_id: impl Into<String>) -> Self {
        Self { member_id: member_id.into(), group_instance_id: None }
    }

    /// The static member with this `group.instance.id`, whoever that is at present.
    pub fn group_instance_id(group_instance_id: impl Into<String>) -> Self {
        Self { member_id: String::new(), group_instance_id: Some(group_instance_id.into()) }
    }
}

impl Admin {
    /// Removes members from a group, each on its own; the others share its partitions. A consumer that was removed
    /// learns of it from its next heartbeat, and joins again in its next poll: what is to stay away has to be closed
    /// first. This is how to be rid of a static member before its session ends.
    ///
    /// `reason` is for the coordinator's log and may be empty.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, also where there is no such group; `INVALID_GROUP_ID` for the empty id.
    pub async fn remove_group_members(
        &self,
        group_id: impl AsRef<str>,
        members: impl IntoIterator<Item = MemberToRemove>,
        reason: &str,
    ) -> Vec<Result<()>> {
        let group_id = group_id.as_ref();
        let members: Vec<_> = members.into_iter().collect();
        if let Err(closed) = self.cluster.check_open() {
            return vec![Err(closed); members.len()];
        }
        let asked: Vec<_> = members.iter().map(|member| leaving(member, reason)).collect();
        let request = LeaveGroupRequest { group_id: group_id.to_owned(), members: asked };
        let LeaveGroupResponse { error, members: answers } = self.cluster.leave_group(request).await;
        if !error.is_none() {
            let refusal = Error::new(error, format!("group {group_id}: {}", error.message()));
            return vec![Err(refusal); members.len()];
        }
        let check = |(member, code): (&MemberToRemove, ErrorCode)| match code {
            ErrorCode::None => Ok(()),
            _ => Err(Error::new(code, format!("{} of group {group_id}: {}", describe(member), code.message()))),
        };
        members.iter().zip(answers).map(check).collect()
    }

    /// Removes everybody from a group; answers with how many that were.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`; `INVALID_GROUP_ID` for the empty id; the first member's that could not be removed, as when
    /// it has left by itself in the meantime.
    pub async fn remove_all_group_members(&self, group_id: impl AsRef<str>, reason: &str) -> Result<usize> {
        let group_id = group_id.as_ref();
        let group = self.describe_group(group_id).await?;
        let members = group.members().iter().map(|member| match member.group_instance_id() {
            Some(instance_id) => MemberToRemove::group_instance_id(instance_id),
            None => MemberToRemove::member_id(member.member_id()),
        });
        let removed: Vec<()> =
            self.remove_group_members(group_id, members, reason).await.into_iter().collect::<Result<_>>()?;
        Ok(removed.len())
    }
}

fn leaving(member: &MemberToRemove, reason: &str) -> LeaveGroupMember {
    let reason = if reason.is_empty() { DEFAULT_REASON } else { reason };
    let end = (0..=reason.len().min(MAX_REASON_BYTES)).rfind(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    LeaveGroupMember {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        reason: Some(reason[..end].to_owned()),
    }
}

fn describe(member: &MemberToRemove) -> String {
    match &member.group_instance_id {
        Some(instance_id) => format!("instance {instance_id}"),
        None => format!("member {}", member.member_id),
    }
}
