//! Blocks of producer ids.

use crate::controller::{Controller, MetadataRecord, Outcome};
use crate::error::{Error, ErrorCode};
use crate::types::{BrokerId, ProducerId};

/// Producer ids that one broker may hand out: `first` and the 999 that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerIdBlock {
    pub(crate) first: ProducerId,
}

impl ProducerIdBlock {
    /// How many ids a block holds, as in Kafka.
    pub(crate) const SIZE: i64 = 1000;
}

impl Controller {
    /// Allocates the next block (KIP-730). A broker that stops leaves the rest of its block unused: no id is ever given
    /// out twice. `STALE_BROKER_EPOCH`; `UNKNOWN_SERVER_ERROR` once all ids are used up.
    pub(crate) fn allocate_producer_ids(
        &self,
        broker_id: BrokerId,
        broker_epoch: i64,
    ) -> Outcome<Result<ProducerIdBlock, Error>> {
        if let Err(error) = self.check_broker_epoch(broker_id, broker_epoch) {
            return Outcome::unchanged(Err(error));
        }
        let first = self.image.next_producer_id;
        let Some(next_producer_id) = first.checked_add(ProducerIdBlock::SIZE) else {
            let message =
                "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit";
            return Outcome::unchanged(Err(Error::new(ErrorCode::UnknownServerError, message)));
        };
        Outcome {
            records: vec![MetadataRecord::ProducerIds { broker_id, broker_epoch, next_producer_id }],
            response: Ok(ProducerIdBlock { first: ProducerId(first) }),
        }
    }
}
