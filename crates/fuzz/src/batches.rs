//! Batches.
//!
//! Input: whether to mend checksum and stored length (u8, odd: yes), length of the pieces (u8), and the batch.

use bytes::Bytes;
use paxlog_session::decompress;
use paxlog_wire::batch::{BATCH_HEADER_BYTES, BatchBuilder, BatchView, RecordView, check};

use crate::input::{Input, golden, pieces, vectors};

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mends = input.u8() & 1 == 1;
    let cut = input.u8();
    let mut batch = input.rest().to_vec();
    if mends {
        mend(&mut batch);
    }
    let whole = [Bytes::copy_from_slice(&batch)];
    let parts = pieces(&batch, cut);
    let checked = check(&whole);
    assert_eq!(checked, check(&parts), "how it was cut matters");
    let view = BatchView::parse_parts(&parts);
    let Ok(info) = checked else {
        assert!(view.is_err(), "refused, and yet read");
        return;
    };
    if info.compression.is_none() {
        let view = view.expect("what a server took can be read");
        assert_eq!(view.info(), info);
        assert_eq!(view.records().count(), info.records as usize);
        let again = built(view.records()).expect("records that were read can be sent");
        assert_eq!(again, batch, "a batch in two ways");
        return;
    }
    // Whoever made it may have put anything into it; a reader takes no more room than was announced.
    if let Ok(section) = decompress(info, &parts) {
        assert_eq!(section.len(), info.record_bytes as usize);
        let section = pieces(&section, cut);
        if let Ok(view) = BatchView::of_section(info, &section) {
            assert_eq!(view.records().count(), info.records as usize);
            built(view.records()).expect("records that were read can be sent");
        }
    }
}

/// The batch of these records.
fn built(records: impl Iterator<Item = RecordView>) -> Result<Vec<u8>, String> {
    let mut builder = BatchBuilder::new();
    for record in records {
        builder.push(&record).map_err(|error| error.to_string())?;
    }
    let batch = builder.finish().map_err(|error| error.to_string())?;
    Ok(batch.parts().concat())
}

fn mend(batch: &mut [u8]) {
    if batch.len() < BATCH_HEADER_BYTES {
        return;
    }
    let stored = (batch.len() - BATCH_HEADER_BYTES) as u32;
    batch[16..20].copy_from_slice(&stored.to_le_bytes());
    let crc = crc32c::crc32c(&batch[8..]);
    batch[4..8].copy_from_slice(&crc.to_le_bytes());
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut batches: Vec<Vec<u8>> = Vec::new();
    for list in ["batches", "refused_batches"] {
        batches.extend(vectors(list, "batch").into_iter().map(|(_, batch)| batch));
    }
    batches.extend(golden("batch."));
    let cuts = [0, 1, 7, 33];
    let seed = |(i, batch): (usize, Vec<u8>)| [vec![1, cuts[i % cuts.len()]], batch].concat();
    batches.into_iter().enumerate().map(seed).collect()
}
