//! OffsetCommit and OffsetFetch.

use super::classic::GroupState;
use super::outcome::Outcome;
use super::record::{self, MAX_STRING_BYTES};
use super::request::*;
use super::shard::GroupShard;
use crate::error::ErrorCode;
use crate::types::{OffsetAndMetadata, TopicPartition};

impl GroupShard {
    /// Keeps offsets for a member of the present generation, or in an empty group for whoever asks with generation -1.
    /// A member's commit counts as a heartbeat. `POLICY_VIOLATION` if that would make one group too many.
    pub(crate) fn handle_offset_commit(&mut self, now_ms: i64, token: Token, request: OffsetCommitRequest) -> Outcome {
        let metadata_limit = self.environment.config.offset_metadata_max_bytes;
        let is_full = self.groups.is_full(self.environment.config.max_groups);
        let OffsetCommitRequest { group_id, generation_id, member_id, group_instance_id, offsets } = request;
        self.with_group(now_ms, &group_id, |cx, group| {
            let accepted = match group {
                // The empty id is allowed here: consumers of old committed under it.
                _ if group_id.len() > MAX_STRING_BYTES => Err(ErrorCode::InvalidGroupId),
                None if generation_id < 0 && is_full => Err(ErrorCode::PolicyViolation),
                None if generation_id < 0 => Ok(()),
                None => Err(ErrorCode::IllegalGeneration),
                Some(group) => {
                    let accepted =
                        group.validate_offset_commit(&member_id, group_instance_id.as_deref(), generation_id);
                    if accepted.is_ok() && group.state() != GroupState::Empty {
                        group.touch_member(cx, &member_id);
                    }
                    accepted
                }
            };
            let mut partitions = Vec::with_capacity(offsets.len());
            for (topic_partition, committed) in offsets {
                let result = accepted.and_then(|()| validate_offset(&topic_partition, &committed, metadata_limit));
                if result.is_ok() {
                    cx.outcome.records.push(record::offset_commit(&group_id, &topic_partition, &committed, now_ms));
                }
                partitions.push((topic_partition, result.err().unwrap_or(ErrorCode::None)));
            }
            cx.outcome.replies.push((token, Reply::OffsetCommit(OffsetCommitResponse { partitions })));
        })
    }

    /// What the group has committed. A group that does not exist has committed nothing.
    pub(crate) fn fetch_offsets(&self, request: &OffsetFetchRequest) -> OffsetFetchResponse {
        let partitions = match &request.partitions {
            Some(partitions) => {
                let committed = |partition| Some(self.offsets.get(&request.group_id, partition)?.offset.clone());
                partitions.iter().map(|partition| (partition.clone(), committed(partition))).collect()
            }
            None => {
                let all = self.offsets.of_group(&request.group_id);
                all.map(|(partition, committed)| (partition.clone(), Some(committed.offset.clone()))).collect()
            }
        };
        OffsetFetchResponse { error: ErrorCode::None, partitions }
    }
}

fn validate_offset(
    topic_partition: &TopicPartition,
    committed: &OffsetAndMetadata,
    metadata_limit: usize,
) -> Result<(), ErrorCode> {
    let metadata = committed.metadata();
    // Kafka counts UTF-16 code units, of which there are never more than bytes.
    let is_too_long = metadata.len() > metadata_limit && metadata.encode_utf16().count() > metadata_limit;
    if is_too_long || metadata.len() > MAX_STRING_BYTES {
        return Err(ErrorCode::OffsetMetadataTooLarge);
    }
    if topic_partition.topic().len() > MAX_STRING_BYTES {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    Ok(())
}
