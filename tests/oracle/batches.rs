//! Record batches as no producer of good faith would send them: sequences repeated, skipped and wrapped around, headers
//! that contradict themselves, control records; and what a fetch then returns, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use brokerless::oracle::Requests;
use brokerless::{Cluster, NewTopic, TopicPartition};
use bytes::{BufMut, Bytes, BytesMut};
use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteRecordsRequest, DescribeProducersRequest, FetchRequest, ListOffsetsRequest,
    ProduceRequest, TopicName,
};
use tokio::runtime::Runtime;

use crate::kafka::kafka;
use crate::known;
use crate::op::Facts;
use crate::run::{self, Counts};
use crate::wire::{Wire, text};

/// A batch, and what is wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) producer: (i64, i16, i32),
    /// Timestamp against the batch's base, key, value.
    records: Vec<(i64, Option<&'static str>, &'static str)>,
    base_timestamp: i64,
    gzip: bool,
    pub(crate) wrong: Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Nothing,
    Crc,
    Magic(u8),
    BaseOffset(i64),
    /// The header's count of records.
    Count(i32),
    LastOffsetDelta(i32),
    /// More than the records say.
    MaxTimestamp(i64),
    /// Bits set in the attributes: timestamp type 8, transactional 16, control 32, delete horizon 64, codecs 0 to 7.
    Attributes(u16),
    /// An offset delta of a record that is not its index.
    OffsetDelta,
    /// The last byte of the records is missing, or there is one too many.
    Body(i8),
    /// Compressed data that are none.
    Garbage,
}

impl Batch {
    fn encode(&self) -> Bytes {
        let mut records = BytesMut::new();
        for (index, (timestamp, key, value)) in self.records.iter().enumerate() {
            let mut record = BytesMut::new();
            record.put_u8(0);
            varint(&mut record, *timestamp);
            varint(&mut record, if self.wrong == Wrong::OffsetDelta { index as i64 + 1 } else { index as i64 });
            match key {
                None => varint(&mut record, -1),
                Some(key) => {
                    varint(&mut record, key.len() as i64);
                    record.put_slice(key.as_bytes());
                }
            }
            varint(&mut record, value.len() as i64);
            record.put_slice(value.as_bytes());
            varint(&mut record, 0);
            varint(&mut records, record.len() as i64);
            records.put(record);
        }
        match self.wrong {
            Wrong::Body(-1) => records.truncate(records.len() - 1),
            Wrong::Body(_) => records.put_u8(0),
            _ => {}
        }
        if self.gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&records).expect("writing to memory");
            records = BytesMut::from(&encoder.finish().expect("writing to memory")[..]);
        }
        if self.wrong == Wrong::Garbage {
            records = BytesMut::from(&b"garbage"[..]);
        }
        let count = self.records.len() as i32;
        let latest = self.records.iter().map(|(timestamp, _, _)| self.base_timestamp + timestamp).max().unwrap_or(-1);
        let mut tail = BytesMut::new();
        tail.put_u16(u16::from(self.gzip) | if let Wrong::Attributes(bits) = self.wrong { bits } else { 0 });
        tail.put_i32(if let Wrong::LastOffsetDelta(delta) = self.wrong { delta } else { count - 1 });
        tail.put_i64(self.base_timestamp);
        tail.put_i64(if let Wrong::MaxTimestamp(more) = self.wrong { latest + more } else { latest });
        tail.put_i64(self.producer.0);
        tail.put_i16(self.producer.1);
        tail.put_i32(self.producer.2);
        tail.put_i32(if let Wrong::Count(count) = self.wrong { count } else { count });
        tail.put(records);
        let mut batch = BytesMut::new();
        batch.put_i64(if let Wrong::BaseOffset(offset) = self.wrong { offset } else { 0 });
        batch.put_i32(tail.len() as i32 + 9);
        batch.put_i32(-1);
        batch.put_u8(if let Wrong::Magic(magic) = self.wrong { magic } else { 2 });
        batch.put_u32(crc32c::crc32c(&tail) ^ u32::from(self.wrong == Wrong::Crc));
        batch.put(tail);
        batch.freeze()
    }
}

fn varint(bytes: &mut BytesMut, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        bytes.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.put_u8(rest as u8);
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Produce(Batch),
    DeleteRecords(i64),
    Fetch { offset: i64, max_bytes: i32 },
    ListOffsets(i64),
    DescribeProducers,
}

/// Settings of the topic, and what is done with it.
#[derive(Clone, Debug)]
struct Sequence {
    configs: Vec<(&'static str, String)>,
    steps: Vec<Step>,
}

const PRODUCERS: [i64; 3] = [7_000, 7_001, 7_002];

fn sequence(seed: u64, length: usize, now: i64) -> Sequence {
    let mut rng = Rng::with_seed(seed);
    let configs: &[(&'static str, &str)] = [
        &[][..],
        &[],
        &[],
        &[("message.timestamp.type", "LogAppendTime")],
        &[("cleanup.policy", "compact")],
        &[("max.message.bytes", "150")],
        &[("message.timestamp.before.max.ms", "1000000"), ("message.timestamp.after.max.ms", "1000")],
    ][rng.usize(0..7)];
    let stamps = configs.iter().any(|(_, value)| *value == "LogAppendTime");
    let mut next: BTreeMap<i64, (i16, i32)> = PRODUCERS.iter().map(|id| (*id, (0, 0))).collect();
    // One of them is about to run out of numbers.
    next.insert(PRODUCERS[2], (3, i32::MAX - rng.i32(0..6)));
    let mut sent: BTreeMap<i64, Vec<Batch>> = BTreeMap::new();
    let mut records = 0;
    let mut steps = Vec::new();
    while steps.len() < length {
        steps.push(match rng.u8(0..20) {
            0..14 => {
                let producer = if rng.u8(0..4) == 0 { -1 } else { PRODUCERS[rng.usize(0..3)] };
                let repeatable = sent.get(&producer).filter(|_| rng.u8(0..4) == 0);
                let batch = match repeatable {
                    Some(earlier) => earlier[earlier.len() - 1 - rng.usize(0..earlier.len().min(7))].clone(),
                    None => some_batch(&mut rng, producer, &mut next, now),
                };
                if batch.producer.0 >= 0 && batch.wrong == Wrong::Nothing {
                    sent.entry(producer).or_default().push(batch.clone());
                }
                records += batch.records.len() as i64;
                Step::Produce(batch)
            }
            14 => Step::DeleteRecords([-1, rng.i64(0..=records), rng.i64(0..=records)][rng.usize(0..3)]),
            15..18 => Step::Fetch {
                offset: [0, rng.i64(0..=records + 1), rng.i64(0..=records + 1)][rng.usize(0..3)],
                max_bytes: [1, 1_000_000][rng.usize(0..2)],
            },
            18 if rng.bool() => Step::DescribeProducers,
            // Which of a topic's stamps are equal is up to the clock.
            _ if stamps => Step::ListOffsets([-1, -2][rng.usize(0..2)]),
            _ => Step::ListOffsets([-1, -2, -3, -4, -5, 0, now - rng.i64(0..2_000_000)][rng.usize(0..7)]),
        });
    }
    steps.push(Step::Fetch { offset: 0, max_bytes: 1_000_000 });
    Sequence { configs: configs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), steps }
}

fn some_batch(rng: &mut Rng, producer: i64, next: &mut BTreeMap<i64, (i16, i32)>, now: i64) -> Batch {
    let count = [1, 1, 2, 3][rng.usize(0..4)];
    let mut record = || {
        let timestamp = [0, 0, 1, 5, -3, 2_000][rng.usize(0..6)];
        let key = if rng.u8(0..6) == 0 { None } else { Some(["a", "b", ""][rng.usize(0..3)]) };
        (
            timestamp,
            key,
            ["", "value", "a value that takes up some more of the room that there is in a batch"][rng.usize(0..3)],
        )
    };
    let mut records: Vec<_> = (0..count).map(|_| record()).collect();
    let wrong = match rng.u8(0..60) {
        0 => Wrong::Crc,
        1 => Wrong::Magic([0, 1, 3][rng.usize(0..3)]),
        2 => Wrong::BaseOffset([1, 5, -1][rng.usize(0..3)]),
        3 => Wrong::Count([0, -1, 1, 7][rng.usize(0..4)]),
        4 => Wrong::LastOffsetDelta([-1, 0, 9][rng.usize(0..3)]),
        5 => Wrong::MaxTimestamp([100, -1, 10_000_000_000][rng.usize(0..3)]),
        6 => Wrong::Attributes([8, 32, 64, 5, 7][rng.usize(0..5)]),
        7 => Wrong::OffsetDelta,
        8 => Wrong::Body([-1, 1][rng.usize(0..2)]),
        9 => Wrong::Garbage,
        _ => Wrong::Nothing,
    };
    if wrong != Wrong::Nothing {
        records = (0..count).map(|_| (0, Some("a"), "value")).collect();
    }
    let batch = |producer, base_timestamp, gzip| Batch { producer, records, base_timestamp, gzip, wrong };
    // One fault at a time: which of two is seen first says nothing.
    let base_timestamp = match rng.u8(0..12) {
        _ if wrong != Wrong::Nothing => now,
        0 => now + 500_000_000,
        1 => now - 2_000_000,
        2 => 1_000,
        3 => -1,
        _ => now - rng.i64(0..900_000),
    };
    let gzip = rng.u8(0..4) == 0;
    let Some((epoch, sequence)) = next.get_mut(&producer) else {
        return batch((-1, -1, -1), base_timestamp, gzip);
    };
    let after = |sequence: i32| {
        let sequence = i64::from(sequence) + count as i64;
        (sequence % (i64::from(i32::MAX) + 1)) as i32
    };
    let (of_epoch, of_sequence) = match rng.u8(0..20) {
        _ if wrong != Wrong::Nothing => (*epoch, *sequence),
        // A gap; an epoch that is over; a new one, right and wrong; no sequence at all.
        0 => (*epoch, after(after(*sequence))),
        1 => (*epoch - 1, *sequence),
        2 | 3 => {
            (*epoch, *sequence) = (*epoch + 1, 0);
            (*epoch, 0)
        }
        4 => (*epoch + 1, 3),
        5 => (*epoch, -1),
        6 => (*epoch, sequence.saturating_sub(1)),
        _ => (*epoch, *sequence),
    };
    if wrong == Wrong::Nothing && (of_epoch, of_sequence) == (*epoch, *sequence) {
        *sequence = after(*sequence);
    }
    batch((producer, of_epoch, of_sequence), base_timestamp, gzip)
}

struct Pair {
    runtime: Runtime,
    requests: Requests,
    wire: Wire,
    topic: String,
    stamps: bool,
}

impl Pair {
    fn new(configs: &[(&'static str, String)]) -> Self {
        let topic = run::unique("b");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let new = configs.iter().fold(NewTopic::new(&topic), |topic, (name, value)| topic.config(*name, value));
        let cluster = runtime.block_on(async {
            let cluster = Cluster::in_memory();
            cluster.admin().create_topic(new).await.unwrap();
            cluster
        });
        let mut wire = Wire::connect(&kafka().bootstrap).expect("a connection to Kafka");
        let configs = configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig::default().with_name(text(*name)).with_value(Some(text(value))));
        let new = CreatableTopic::default()
            .with_name(TopicName(text(&topic)))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(configs.clone().collect());
        let created = wire
            .send(CreateTopicsRequest::default().with_topics(vec![new]).with_timeout_ms(30_000), 7)
            .expect("an answer");
        assert_eq!(created.topics[0].error_code, 0, "{:?}", created.topics[0].error_message);
        let stamps = configs.into_iter().any(|config| config.value.as_deref() == Some("LogAppendTime"));
        let mut pair = Self { runtime, requests: Requests(cluster), wire, topic, stamps };
        let begin = Instant::now();
        while pair.list_theirs(-1).get("list offsets") != Some("0") {
            assert!(begin.elapsed() < Duration::from_secs(30), "{} has no leader", pair.topic);
            std::thread::sleep(Duration::from_millis(2));
        }
        pair
    }

    fn step(&mut self, step: &Step) -> (Facts, Facts) {
        let partition = TopicPartition::new(&*self.topic, 0);
        match step {
            Step::Produce(batch) => {
                let bytes = batch.encode();
                let ours = match self.requests.produce(&partition, bytes.clone()) {
                    Ok((offset, stamped)) => produced(0, offset, stamped && self.stamps),
                    Err(error) => produced(error, -1, false),
                };
                let data = PartitionProduceData::default().with_index(0).with_records(Some(bytes));
                let topic =
                    TopicProduceData::default().with_name(TopicName(text(&self.topic))).with_partition_data(vec![data]);
                let request =
                    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
                let theirs = match self.wire.send(request, 11) {
                    Ok(mut answer) => {
                        let answer = answer.responses.remove(0).partition_responses.remove(0);
                        // Of a repeated batch Kafka tells the time that it has, whoever stamped it.
                        let stamped = answer.log_append_time_ms >= 0 && self.stamps;
                        produced(answer.error_code, answer.base_offset, stamped)
                    }
                    Err(error) => Facts::one("produce", error),
                };
                (ours, theirs)
            }
            Step::DeleteRecords(before) => {
                let deleted = self.runtime.block_on(self.requests.0.admin().delete_records([(partition, *before)]));
                let ours = match &deleted[0] {
                    Ok(deleted) => (0, deleted.low_watermark()),
                    Err(error) => (error.code().as_i16(), -1),
                };
                let index = DeleteRecordsPartition::default().with_partition_index(0).with_offset(*before);
                let topic =
                    DeleteRecordsTopic::default().with_name(TopicName(text(&self.topic))).with_partitions(vec![index]);
                let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
                let theirs = self.wire.send(request, 2).expect("an answer").topics.remove(0).partitions.remove(0);
                let theirs = (theirs.error_code, theirs.low_watermark);
                let facts = |(error, low): (i16, i64)| Facts::one("delete records", format!("{error} {low}"));
                (facts(ours), facts(theirs))
            }
            Step::Fetch { offset, max_bytes } => {
                let ours = self.requests.fetch(&partition, *offset, *max_bytes as usize);
                let index = FetchPartition::default().with_fetch_offset(*offset).with_partition_max_bytes(*max_bytes);
                let topic = FetchTopic::default().with_topic(TopicName(text(&self.topic))).with_partitions(vec![index]);
                let request = FetchRequest::default()
                    .with_replica_id(BrokerId(-1))
                    .with_max_bytes(*max_bytes)
                    .with_session_epoch(-1)
                    .with_topics(vec![topic]);
                let mut theirs = self.fetch_theirs(request.clone());
                // A broker reads from one segment at a time.
                while *max_bytes > 1
                    && let Ok(read) = &mut theirs
                    && let Some(next) = end_of(read)
                    && let Ok(more) = self.fetch_theirs(from(request.clone(), next))
                    && !more.is_empty()
                {
                    *read = [&read[..], &more[..]].concat().into();
                }
                (self.fetched(ours), self.fetched(theirs))
            }
            Step::DescribeProducers => {
                let described = self.runtime.block_on(self.requests.0.admin().describe_producers([partition]));
                let mut ours = Facts::default();
                for it in described[0].as_ref().unwrap() {
                    let transaction = (it.coordinator_epoch(), it.current_transaction_start_offset());
                    let timestamp = if self.stamps { 0 } else { it.last_timestamp() };
                    let state = (it.producer_epoch().0.into(), it.last_sequence(), timestamp, transaction);
                    ours.add(it.producer_id(), producer_state(state));
                }
                let topic =
                    TopicRequest::default().with_name(TopicName(text(&self.topic))).with_partition_indexes(vec![0]);
                let request = DescribeProducersRequest::default().with_topics(vec![topic]);
                let mut answer = self.wire.send(request, 0).expect("an answer").topics.remove(0).partitions.remove(0);
                answer.active_producers.sort_by_key(|it| it.producer_id.0);
                let mut theirs = Facts::default();
                for it in answer.active_producers {
                    let coordinator = Some(it.coordinator_epoch).filter(|epoch| *epoch >= 0);
                    let start = Some(it.current_txn_start_offset).filter(|offset| *offset >= 0);
                    let timestamp = if self.stamps { 0 } else { it.last_timestamp };
                    let state = (it.producer_epoch, it.last_sequence, timestamp, (coordinator, start));
                    theirs.add(it.producer_id.0, producer_state(state));
                }
                (ours, theirs)
            }
            Step::ListOffsets(timestamp) => {
                use brokerless::admin::OffsetSpec;
                let spec = match timestamp {
                    -1 => OffsetSpec::Latest,
                    -2 => OffsetSpec::Earliest,
                    -3 => OffsetSpec::MaxTimestamp,
                    -4 => OffsetSpec::EarliestLocal,
                    -5 => OffsetSpec::LatestTiered,
                    _ => OffsetSpec::ForTimestamp(*timestamp),
                };
                let admin = self.requests.0.admin();
                let listed = self.runtime.block_on(admin.list_offsets([(partition, spec)], Default::default()));
                let ours = match &listed[0] {
                    Ok(it) => listed_offset(0, it.offset().unwrap_or(-1), it.timestamp().unwrap_or(-1), self.stamps),
                    Err(error) => listed_offset(error.code().as_i16(), -1, -1, false),
                };
                (ours, self.list_theirs(*timestamp))
            }
        }
    }

    fn fetch_theirs(&mut self, request: FetchRequest) -> Result<Bytes, i16> {
        let mut answer = self.wire.send(request, 12).expect("an answer");
        let partition = answer.responses.remove(0).partitions.remove(0);
        match partition.error_code {
            0 => Ok(partition.records.unwrap_or_default()),
            code => Err(code),
        }
    }

    fn list_theirs(&mut self, timestamp: i64) -> Facts {
        let index = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default().with_name(TopicName(text(&self.topic))).with_partitions(vec![index]);
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        let answer = self.wire.send(request, 9).expect("an answer").topics.remove(0).partitions.remove(0);
        listed_offset(answer.error_code, answer.offset, answer.timestamp, self.stamps)
    }

    /// The batches, byte for byte; without what comes from the clock, if the leader stamps them.
    fn fetched(&self, bytes: Result<Bytes, i16>) -> Facts {
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(code) => return Facts::one("fetch", code),
        };
        let mut facts = Facts::one("fetch", 0);
        let mut rest = &bytes[..];
        while rest.len() >= 12 {
            let length = 12 + u32::from_be_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
            if rest.len() < length {
                break;
            }
            let mut batch = rest[..length].to_vec();
            if self.stamps {
                batch[17..21].fill(0);
                batch[35..43].fill(0);
            }
            facts.add("batch", batch.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            rest = &rest[length..];
        }
        facts
    }
}

/// The offset behind the last of these batches.
fn end_of(mut batches: &[u8]) -> Option<i64> {
    let mut end = None;
    while batches.len() >= 61 {
        let number = |at: usize, length: usize| {
            batches[at..at + length].iter().fold(0, |number: i64, byte| number << 8 | i64::from(*byte))
        };
        end = Some(number(0, 8) + number(23, 4) + 1);
        batches = batches.get(12 + number(8, 4) as usize..)?;
    }
    end
}

fn from(mut request: FetchRequest, offset: i64) -> FetchRequest {
    request.topics[0].partitions[0].fetch_offset = offset;
    request
}

fn producer_state(state: (i32, i32, i64, (Option<i32>, Option<i64>))) -> String {
    format!("{state:?}")
}

fn produced(error: i16, offset: i64, stamped: bool) -> Facts {
    let mut facts = Facts::one("produce", error);
    if error == 0 {
        facts.add("offset", offset);
        facts.add("stamped", stamped);
    }
    facts
}

fn listed_offset(error: i16, offset: i64, timestamp: i64, stamps: bool) -> Facts {
    let mut facts = Facts::one("list offsets", error);
    facts.add("offset", offset);
    facts.add("timestamp", if stamps && timestamp > 0 { 0 } else { timestamp });
    facts
}

/// Runs a sequence up to the first disagreement.
fn run(sequence: &Sequence, counts: &Counts) -> (usize, Option<(Facts, Facts)>) {
    let mut pair = Pair::new(&sequence.configs);
    for (index, step) in sequence.steps.iter().enumerate() {
        let (ours, theirs) = pair.step(step);
        counts.add(1, theirs.0.len());
        if ours == theirs {
            continue;
        }
        if known::deviation_of_batches(&sequence.steps[..index], step, &ours, &theirs).is_none() {
            return (index + 1, Some((ours, theirs)));
        }
        counts.excuse();
        if ours.get("produce") != theirs.get("produce") {
            // The logs are no longer the same.
            return (index + 1, None);
        }
    }
    (sequence.steps.len(), None)
}

pub(crate) fn compare(cases: usize, length: usize) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let counts = Counts::default();
    let found = Mutex::new(BTreeSet::new());
    let kind = |sequence: &Sequence, (ours, theirs): &(Facts, Facts)| {
        let last = sequence.steps.last();
        let what = match last {
            Some(Step::Produce(batch)) => format!("{:?}", batch.wrong),
            Some(Step::Fetch { .. }) => "Fetch".to_owned(),
            _ => "other".to_owned(),
        };
        let first = |facts: &Facts| facts.0.first().cloned();
        format!("{what} {:?} {:?}", first(ours), first(theirs))
    };
    let one = |seed| {
        let mut sequence = sequence(seed, length, now);
        let (count, difference) = run(&sequence, &counts);
        let mut difference = difference?;
        sequence.steps.truncate(count);
        let what = kind(&sequence, &difference);
        if !found.lock().unwrap().insert(what.clone()) {
            return None;
        }
        let mut at = sequence.steps.len() - 1;
        while at > 0 {
            at -= 1;
            let mut fewer = sequence.clone();
            fewer.steps.remove(at);
            let (count, smaller) = run(&fewer, &Counts::default());
            if let Some(smaller) = smaller.filter(|it| count == fewer.steps.len() && kind(&fewer, it) == what) {
                (sequence, difference) = (fewer, smaller);
            }
        }
        let steps: String = sequence.steps.iter().map(|step| format!("    {step:?}\n")).collect();
        let (ours, theirs) = difference;
        let story = format!("    {:?}\n{steps}  ours:    {:?}\n  Kafka's: {:?}\n", sequence.configs, ours.0, theirs.0);
        Some((what, story))
    };
    run::cases("batches", cases, one, &counts);
}
