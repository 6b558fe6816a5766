//! Kafka's requests, handed straight to what answers them: the differential test (`tests/oracle.rs`) sends the same to a
//! real Kafka. Compiled with the feature `kafka-oracle` only, and no part of the API.
//!
//! Errors are Kafka's numbers. A request has been handled when the call returns; its future is the answer, which may have
//! to wait for others.

use std::future::Future;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};

use crate::cluster::Cluster;
use crate::cluster::group::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupMember, LeaveGroupRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, SyncGroupRequest,
};
use crate::error::{Error, ErrorCode};
use crate::log::AppendOrigin;
use crate::record::{RecordBatch, RecordError};
use crate::types::{Acks, IsolationLevel, Offset, OffsetAndMetadata, TopicPartition};
use crate::util::wake_list::WakeList;

/// An answer that may take a while.
pub type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What is committed of each partition that was asked for.
pub type Committed = Vec<(TopicPartition, Option<OffsetAndMetadata>)>;

/// JoinGroup.
#[derive(Clone, Debug, Default)]
pub struct Join {
    pub group_id: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub protocol_type: String,
    pub protocols: Vec<(String, Bytes)>,
    pub client_id: String,
    /// Version 4 and up.
    pub require_known_member_id: bool,
}

/// The answer to [`Join`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    pub error: i16,
    pub generation_id: i32,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub leader: String,
    pub skip_assignment: bool,
    pub member_id: String,
    /// Member id, instance id, subscription.
    pub members: Vec<(String, Option<String>, Bytes)>,
}

/// Who asks, as the requests of members say it.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    pub group_instance_id: Option<String>,
}

/// The answer to SyncGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    pub error: i16,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub assignment: Bytes,
}

/// The answer to DescribeGroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    pub error: i16,
    pub state: String,
    pub protocol_type: String,
    pub protocol: String,
    /// Member id, instance id, subscription, assignment.
    pub members: Vec<(String, Option<String>, Bytes, Bytes)>,
}

/// A cluster as Kafka's requests see it.
#[derive(Clone, Debug)]
pub struct Requests(pub Cluster);

impl Requests {
    pub fn join_group(&self, join: Join) -> Answer<Joined> {
        let answer = self.0.join_group(JoinGroupRequest {
            group_id: join.group_id,
            session_timeout_ms: join.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            member_id: join.member_id,
            group_instance_id: join.group_instance_id,
            protocol_type: join.protocol_type,
            protocols: join.protocols,
            client_id: join.client_id,
            client_host: "/127.0.0.1".to_owned(),
            require_known_member_id: join.require_known_member_id,
            supports_skipping_assignment: true,
            reason: None,
        });
        Box::pin(async move {
            let joined = answer.await;
            let members = joined.members.into_iter();
            Joined {
                error: joined.error.as_i16(),
                generation_id: joined.generation_id,
                protocol_type: joined.protocol_type,
                protocol_name: joined.protocol_name,
                leader: joined.leader,
                skip_assignment: joined.skip_assignment,
                member_id: joined.member_id,
                members: members.map(|it| (it.member_id, it.group_instance_id, it.metadata)).collect(),
            }
        })
    }

    pub fn sync_group(
        &self,
        who: Identity,
        protocol_type: Option<String>,
        protocol_name: Option<String>,
        assignments: Vec<(String, Bytes)>,
    ) -> Answer<Synced> {
        let answer = self.0.sync_group(SyncGroupRequest {
            group_id: who.group_id,
            generation_id: who.generation_id,
            member_id: who.member_id,
            group_instance_id: who.group_instance_id,
            protocol_type,
            protocol_name,
            assignments,
        });
        Box::pin(async move {
            let synced = answer.await;
            Synced {
                error: synced.error.as_i16(),
                protocol_type: synced.protocol_type,
                protocol_name: synced.protocol_name,
                assignment: synced.assignment,
            }
        })
    }

    pub fn heartbeat(&self, who: Identity) -> Answer<i16> {
        let Identity { group_id, generation_id, member_id, group_instance_id } = who;
        let answer = self.0.heartbeat(HeartbeatRequest { group_id, generation_id, member_id, group_instance_id });
        Box::pin(async move { answer.await.as_i16() })
    }

    /// Members by member id and instance id. The answer: the request's error, and each member's.
    pub fn leave_group(&self, group_id: String, members: Vec<(String, Option<String>)>) -> Answer<(i16, Vec<i16>)> {
        let member = |(member_id, group_instance_id)| LeaveGroupMember { member_id, group_instance_id, reason: None };
        let request = LeaveGroupRequest { group_id, members: members.into_iter().map(member).collect() };
        let answer = self.0.leave_group(request);
        Box::pin(async move {
            let left = answer.await;
            (left.error.as_i16(), left.members.into_iter().map(|error| error.as_i16()).collect())
        })
    }

    /// The answer: each partition's error.
    pub fn commit_offsets(&self, who: Identity, offsets: Vec<(TopicPartition, OffsetAndMetadata)>) -> Answer<Vec<i16>> {
        let Identity { group_id, generation_id, member_id, group_instance_id } = who;
        let request = OffsetCommitRequest { group_id, generation_id, member_id, group_instance_id, offsets };
        let answer = self.0.commit_offsets(request);
        Box::pin(async move { answer.await.partitions.into_iter().map(|(_, error)| error.as_i16()).collect() })
    }

    /// The answer: the request's error, and what is committed of each partition.
    pub fn fetch_offsets(&self, group_id: String, partitions: Option<Vec<TopicPartition>>) -> Answer<(i16, Committed)> {
        let answer = self.0.fetch_offsets(OffsetFetchRequest { group_id, partitions, require_stable: true });
        Box::pin(async move {
            let fetched = answer.await;
            (fetched.error.as_i16(), fetched.partitions)
        })
    }

    /// The answer: the request's error, and each partition's.
    pub fn delete_offsets(&self, group_id: String, partitions: Vec<TopicPartition>) -> Answer<(i16, Vec<i16>)> {
        let answer = self.0.delete_offsets(OffsetDeleteRequest { group_id, partitions });
        Box::pin(async move {
            let deleted = answer.await;
            (deleted.error.as_i16(), deleted.partitions.into_iter().map(|(_, error)| error.as_i16()).collect())
        })
    }

    pub fn describe_group(&self, group_id: &str) -> Described {
        let group = self.0.describe_group(group_id);
        let members = group.members.into_iter();
        Described {
            error: group.error.as_i16(),
            state: group.state.to_owned(),
            protocol_type: group.protocol_type,
            protocol: group.protocol,
            members: members.map(|it| (it.member_id, it.group_instance_id, it.metadata, it.assignment)).collect(),
        }
    }

    /// Appends batches as a broker does that got these bytes from a client. The answer: the base offset, and with
    /// `message.timestamp.type=LogAppendTime` whether it stamped them.
    pub fn produce(&self, partition: &TopicPartition, mut bytes: Bytes) -> Result<(Offset, bool), i16> {
        let number = |error: Error| error.code().as_i16();
        let leader = self.0.leader(partition).map_err(number)?;
        let batch = RecordBatch::parse(&mut bytes).map_err(|error| not_a_batch(&error).as_i16())?;
        let mut wakes = WakeList::new();
        let origin = AppendOrigin::Client { trusted: false };
        let appended = leader.append_collecting(batch, Acks::All, origin, &mut wakes);
        wakes.wake_all();
        let appended = appended.map_err(number)?;
        Ok((appended.base_offset, appended.log_append_time.is_some()))
    }

    /// What a fetch from this offset on answers: whole batches.
    pub fn fetch(&self, partition: &TopicPartition, offset: Offset, max_bytes: usize) -> Result<Bytes, i16> {
        let number = |error: Error| error.code().as_i16();
        let leader = self.0.leader(partition).map_err(number)?;
        let mut batches = Vec::new();
        leader.read(offset, max_bytes, IsolationLevel::ReadUncommitted, &mut batches).map_err(number)?;
        Ok(batches
            .iter()
            .fold(BytesMut::new(), |mut bytes, batch| {
                bytes.extend_from_slice(&batch.to_bytes());
                bytes
            })
            .freeze())
    }
}

/// What a broker answers to bytes of a producer's that are no batch. They arrived as they were sent, or the CRC would tell:
/// so they are not corrupt, but wrong from the start.
fn not_a_batch(error: &RecordError) -> ErrorCode {
    match error {
        RecordError::Malformed(_) | RecordError::UnsupportedMagic(0 | 1) => ErrorCode::InvalidRecord,
        RecordError::UnsupportedMagic(_) => ErrorCode::CorruptMessage,
        error => error.code(),
    }
}
