//! The bounds of the replicated state. They are part of what `apply` computes,
//! so a change of one is a change of format.

/// What a user may put in; returned by describe and enforced with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest record, in bytes.
    pub record_bytes_max: u32,
    /// The largest batch as framed by the producer, in bytes.
    pub batch_bytes_max: u32,
    /// The largest sum of a record's headers, in bytes.
    pub headers_bytes_max: u32,
    /// The longest name of a log or producer, in bytes.
    pub name_bytes_max: u32,
    /// Receipts kept per producer, and so the largest window of an appender.
    pub receipts_per_producer_max: u32,
    /// The most cursors of one log.
    pub cursors_per_log_max: u32,
}

impl Limits {
    /// The limits of this version.
    pub const DEFAULT: Limits = Limits {
        record_bytes_max: 1 << 20,
        batch_bytes_max: BATCH_BYTES_MAX,
        headers_bytes_max: 32 << 10,
        name_bytes_max: NAME_BYTES_MAX as u32,
        receipts_per_producer_max: RECEIPTS_PER_PRODUCER_MAX as u32,
        cursors_per_log_max: CURSORS_PER_LOG_MAX as u32,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::DEFAULT
    }
}

/// A batch as it lies in the value, framing included.
pub(crate) const BATCH_BYTES_MAX: u32 = 4 << 20;
/// Of a log or a producer.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// As many as an appender may have in flight.
pub(crate) const RECEIPTS_PER_PRODUCER_MAX: usize = 4096;
/// Over all producers; above it the least recently used producers are forgotten.
pub(crate) const RECEIPTS_MAX: u64 = 1 << 20;
/// Above it the least recently used producers are forgotten.
pub(crate) const PRODUCERS_MAX: usize = 10_000;
/// Logs of one group.
pub(crate) const LOGS_MAX: usize = 100_000;
/// Cursors of one log.
pub(crate) const CURSORS_PER_LOG_MAX: usize = 10_000;
/// Openings of one producer whose answers are kept for a retry.
pub(crate) const OPENINGS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_other_clients_says_the_same() {
        let page = include_str!("../../../docs/protocol.md");
        let (_, limits) = page.split_once("\n## Limits\n").expect("the section");
        for (row, limit) in [
            ("receipts kept", RECEIPTS_PER_PRODUCER_MAX as u64),
            ("receipts kept", RECEIPTS_MAX),
            ("producers known", PRODUCERS_MAX as u64),
            ("openings of a named producer", OPENINGS_MAX as u64),
            ("logs |", LOGS_MAX as u64),
            ("cursors of a log", CURSORS_PER_LOG_MAX as u64),
        ] {
            let line = limits
                .lines()
                .find(|line| line.starts_with(&format!("| {row}")));
            let line = line.unwrap_or_else(|| panic!("no row {row}"));
            // The page writes thousands with commas.
            let numbers = line.replace(',', "");
            let found = numbers
                .split(|c: char| !c.is_ascii_digit())
                .any(|number| number == limit.to_string());
            assert!(found, "{limit}: {line}");
        }
    }
}
