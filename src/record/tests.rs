use bytes::Bytes;

use crate::record::{BatchBuilder, RecordBatch, SealOptions};
use crate::util::block_pool::Block;

#[test]
fn builds_parses_iterates() {
    let mut builder = BatchBuilder::new(Block::unpooled(1 << 16));
    let long = [7u8; 300];
    let none = std::iter::empty;
    assert_eq!(builder.try_append(1000, Some(b"k"), Some(b"v"), none()), Some(0));
    assert_eq!(builder.try_append(900, None, None, none()), Some(1));
    let headers = [("a", Some(&b"1"[..])), ("a", None), ("", Some(&b""[..]))];
    assert_eq!(builder.try_append(5000, Some(b""), Some(&long), headers.into_iter()), Some(2));
    for index in 3..300 {
        assert_eq!(builder.try_append(5000 + i64::from(index), None, Some(&long[..100]), none()), Some(index));
    }
    let batch = builder.seal(SealOptions::default()).unwrap();
    let mut bytes = batch.to_bytes();
    let parsed = RecordBatch::parse(&mut bytes).unwrap();
    assert_eq!(bytes, Bytes::new());
    parsed.validate_records().unwrap();
    let mut records = parsed.records().unwrap();
    let first = records.next_record().unwrap().unwrap();
    assert_eq!(
        (first.offset(), first.timestamp(), first.key(), first.value()),
        (0, 1000, Some(&b"k"[..]), Some(&b"v"[..]))
    );
    let mut front = records.split_off_front(2).unwrap();
    let second = front.next_record().unwrap().unwrap();
    assert_eq!((second.offset(), second.timestamp(), second.key(), second.value()), (1, 900, None, None));
    let third = front.next_record().unwrap().unwrap();
    let found: Vec<_> = third.headers().map(|header| (header.key(), header.value())).collect();
    assert_eq!(found, headers);
    assert!(front.next_record().is_none());
    records.skip_to(298).unwrap();
    assert_eq!(records.remaining(), 2);
    assert_eq!(records.next_record().unwrap().unwrap().timestamp(), 5298);
    assert_eq!(records.next_record().unwrap().unwrap().offset(), 299);
    assert!(records.next_record().is_none());
}
