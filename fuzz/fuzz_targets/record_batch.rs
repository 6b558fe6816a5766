//! Bytes from outside must not make the batch parser panic, loop, or allocate beyond its bounds; and whatever it accepts
//! it must write back unchanged.
#![no_main]

use brokerless::record::RecordBatch;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

const LENGTH: std::ops::Range<usize> = 8..12;
const CRC: std::ops::Range<usize> = 17..21;

fuzz_target!(|data: &[u8]| {
    read(data);
    // Hardly any input has a right length and a right CRC: give it both, to get behind them.
    if data.len() > CRC.end {
        let mut repaired = data.to_vec();
        repaired[LENGTH].copy_from_slice(&(data.len() as i32 - LENGTH.end as i32).to_be_bytes());
        repaired[LENGTH.end + 4] = 2;
        let crc = crc32c::crc32c(&repaired[CRC.end..]);
        repaired[CRC].copy_from_slice(&crc.to_be_bytes());
        read(&repaired);
    }
});

fn read(data: &[u8]) {
    let mut rest = Bytes::copy_from_slice(data);
    while let Ok(batch) = RecordBatch::parse(&mut rest) {
        let end = data.len() - rest.len();
        assert_eq!(batch.to_bytes()[..], data[end - batch.size_in_bytes()..end]);
        let valid = batch.validate_records().is_ok();
        let Ok(mut records) = batch.records() else { continue };
        let mut count = 0;
        while let Some(Ok(record)) = records.next_record() {
            count += 1;
            let _ = (record.key(), record.value(), record.timestamp());
            let _ = record.headers().count();
        }
        if valid {
            assert_eq!(count, batch.header().records_count());
        }
    }
}
