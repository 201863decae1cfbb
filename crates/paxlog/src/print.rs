//! How `read` and `tail` print records.

use paxlog_client::{Batch, StoredRecord};

use crate::failure::Failure;
use crate::output::{Format, Stdout};
use crate::record_json;

/// The form of a printed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum As {
    /// The payload and a line feed.
    Lines,
    /// Payloads with nothing between.
    Raw,
    /// A JSON object a line.
    Json,
}

/// Prints records in one form.
pub(crate) struct Printer {
    form: As,
    separator: u8,
}

impl Printer {
    /// `--as` decides; without it `--output json` means JSON.
    pub(crate) fn new(form: Option<As>, output: Format, nul: bool) -> Printer {
        let form = form.unwrap_or(match output {
            Format::Text => As::Lines,
            Format::Json => As::Json,
        });
        Printer {
            form,
            separator: if nul { 0 } else { b'\n' },
        }
    }

    pub(crate) fn batch(&self, out: &mut Stdout, batch: &Batch) -> Result<(), Failure> {
        for record in batch.records() {
            self.record(out, &record)?;
        }
        Ok(())
    }

    fn record(&self, out: &mut Stdout, stored: &StoredRecord) -> Result<(), Failure> {
        match self.form {
            As::Lines => {
                out.write(&stored.record.payload)?;
                out.write(&[self.separator])
            }
            As::Raw => out.write(&stored.record.payload),
            As::Json => {
                out.write(
                    record_json::to_json(stored.offset, stored.timestamp, &stored.record)
                        .as_bytes(),
                )?;
                out.write(&[self.separator])
            }
        }
    }
}
