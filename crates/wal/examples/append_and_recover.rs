//! Appends records, closes the log, opens it again and reads them back.
//!
//! `cargo run --release -p paxlog-wal --example append_and_recover [DIR]`

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use paxlog_wal::{Disk, FrameMeta, Identity, Kind, Options, RealDisk, Wal, format, identify};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = match std::env::args().nth(1) {
        Some(dir) => std::path::PathBuf::from(dir),
        None => std::env::temp_dir().join(format!("paxlog-wal-example-{}", std::process::id())),
    };
    std::fs::create_dir_all(&dir)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&dir)?);

    // Once for each directory; the wal id should be random.
    let identity = match identify(&*disk)? {
        Some(identity) => identity,
        None => {
            let identity = Identity {
                cluster: 1,
                replica: 1,
                wal_id: 0x5eed,
            };
            format(&*disk, identity)?;
            identity
        }
    };

    let (wal, recovered) = Wal::open(disk.clone(), Options::new(identity))?;
    println!(
        "opened {}: {} segments from before",
        dir.display(),
        recovered.segments.len()
    );
    let mut last = None;
    for i in 0..1_000u64 {
        // A payload may come in parts, as it came from the network: nothing joins them.
        let parts = [
            Bytes::from(format!("record {i} ")),
            Bytes::from_static(b"and its tail"),
        ];
        last = Some(wal.append(FrameMeta::data(0, i, 0), &parts)?);
    }
    let last = last.expect("a thousand were appended");
    wal.wait_durable(last)?;
    println!(
        "a thousand records are durable, the last at {last}: {:?}",
        wal.read(last)?
    );
    wal.close()?;

    let (wal, recovered) = Wal::open(disk, Options::new(identity))?;
    let mut count = 0;
    for segment in &recovered.segments {
        for frame in recovered
            .frames(segment.seq)?
            .iter()
            .filter(|f| f.kind == Kind::Data)
        {
            let (meta, payload) = wal.read_cold(frame.lsn)?;
            assert!(payload.starts_with(format!("record {} ", meta.tag).as_bytes()));
            count += 1;
        }
    }
    println!(
        "{count} records are there after opening it again; damaged: {:?}",
        recovered.damaged
    );
    wal.close()?;
    if std::env::args().nth(1).is_none() {
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}
