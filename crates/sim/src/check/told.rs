//! A violation in words: what a person needs to see the contradiction.

use std::fmt;

use super::violation::Violation;
use super::witness::Witness;

/// The rule, the log and what is wrong in the first line; then a line an operation.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.rule();
        let mut head = |log: &str, sentence: String, witnesses: &[&Witness]| {
            write!(f, "{rule}: log {log}: {sentence}")?;
            witnesses
                .iter()
                .try_for_each(|witness| write!(f, "\n  {witness}"))
        };
        match self {
            Violation::Vacuous { why } => write!(f, "{rule}: the history shows nothing: {why}"),
            Violation::NotSettled { log } => head(
                log,
                "nobody read it whole when everything was over".into(),
                &[],
            ),
            Violation::PayloadRepeated {
                log,
                payload,
                one,
                two,
            } => head(
                log,
                format!(
                    "the payload {payload} was appended twice by the load itself, so nothing can be told of it"
                ),
                &[one, two],
            ),
            Violation::NotDense {
                log,
                expected,
                found,
                by,
            } => head(
                log,
                format!("offset {found} stands where offset {expected} belongs"),
                &[by],
            ),
            Violation::NeverAppended {
                log,
                offset,
                payload,
                by,
            } => head(
                log,
                format!("offset {offset} holds {payload}, which nobody appended"),
                &[by],
            ),
            Violation::Twice {
                log,
                append,
                first,
                second,
                by,
            } => head(
                log,
                format!("a record is there twice, at {first} and at {second}"),
                &[append, by],
            ),
            Violation::Torn {
                log,
                append,
                part,
                offset,
            } => head(
                log,
                format!("a batch is torn: its record {part} is out of its place, at {offset}"),
                &[append],
            ),
            Violation::Lost {
                log,
                append,
                instead,
                by,
            } => head(
                log,
                "an acknowledged append is not there".into(),
                &[append, instead.as_deref().unwrap_or(by)],
            ),
            Violation::Misplaced {
                log,
                append,
                found,
                instead,
            } => head(
                log,
                format!("an acknowledged append is not at its place but at {found}"),
                &both(append, instead.as_deref()),
            ),
            Violation::WrongReceipt { log, append, why } => {
                head(log, format!("a wrong receipt: {why}"), &[append])
            }
            Violation::SamePlace {
                log,
                offset,
                one,
                two,
            } => head(
                log,
                format!("two appends were acknowledged at offset {offset}"),
                &[one, two],
            ),
            Violation::AppliedNotApplied {
                log,
                append,
                offset,
            } => head(
                log,
                format!("an append that was called not applied is there, at {offset}"),
                &[append],
            ),
            Violation::ReadDiffers {
                log,
                offset,
                given,
                holds,
                read,
                append,
            } => head(
                log,
                format!(
                    "a reader was given {given} at offset {offset}, where the log holds {holds}"
                ),
                &both(read, append.as_deref()),
            ),
            Violation::Unseen {
                log,
                offset,
                read,
                append,
            } => head(
                log,
                format!("a reader was given a record at offset {offset} that is not in the log"),
                &[read, append],
            ),
            Violation::ReplicaDiffers {
                log,
                replica,
                offset,
                given,
                holds,
            } => head(
                log,
                format!(
                    "replica {replica} has {given} at offset {offset}, where the log holds {holds}"
                ),
                &[],
            ),
            Violation::AnswersDiffer {
                log,
                command,
                one,
                two,
            } => head(
                log,
                format!("two answers to one command: {one} / {two}"),
                &[command],
            ),
            Violation::AgainstCondition { log, append, found } => head(
                log,
                format!("an append stands at {found}, elsewhere than it was conditioned on"),
                &[append],
            ),
            Violation::Register {
                log,
                what,
                one,
                two,
            } => head(log, format!("nobody can have made {what}"), &[one, two]),
            Violation::WrongRefusal { log, command, why } => {
                head(log, format!("a wrong refusal: {why}"), &[command])
            }
            Violation::TimestampBack {
                log,
                before,
                timestamp,
                after,
                lower,
            } => head(
                log,
                format!("timestamps went back, from {timestamp} to {lower}"),
                &[before, after],
            ),
            Violation::TimestampsDiffer {
                log,
                offset,
                one,
                by,
                two,
                and,
            } => head(
                log,
                format!("offset {offset} has the timestamps {one} and {two}"),
                &[by, and],
            ),
            Violation::NoBatchEnd {
                log,
                tail,
                by,
                append,
            } => head(
                log,
                match append {
                    Some(_) => format!("the tail {tail} lies within a batch"),
                    None => format!("the tail {tail} lies beyond the log"),
                },
                &both(by, append.as_deref()),
            ),
            Violation::Order {
                log,
                by,
                first,
                second,
            } => head(
                log,
                format!(
                    "the first was over when the second was called, but by {by} it comes after it"
                ),
                &[first, second],
            ),
            Violation::Early { log, read, second } => head(
                log,
                "the first saw the effect of the second, which was called when the first was over"
                    .into(),
                &[read, second],
            ),
            Violation::Pipeline { log, first, second } => head(
                log,
                "two appends of one pipeline changed places: the first was begun first".into(),
                &[first, second],
            ),
            Violation::VersionTwice {
                log,
                version,
                one,
                two,
            } => head(
                log,
                format!("two commands have version {version}"),
                &[one, two],
            ),
            Violation::States {
                log,
                what,
                one,
                two,
            } => head(
                log,
                (*what).to_owned(),
                &both(one, Some(two.as_ref()).filter(|two| *two != one.as_ref())),
            ),
            Violation::FirstVersion { log, version, by } => head(
                log,
                format!("version 1 is the making of the log, and this has version {version}"),
                &[by],
            ),
            Violation::VersionUnexplained { log, version, by } => head(
                log,
                format!("no command of the history can have had version {version}"),
                &[by],
            ),
            Violation::NoVersionLeft {
                log,
                command,
                from,
                to,
            } => head(
                log,
                format!(
                    "a command happened, of which the others leave no version in {from}..={to}"
                ),
                &[command],
            ),
            Violation::TrimUnexplained {
                log,
                trim_point,
                by,
            } => head(
                log,
                format!("no trim explains the trim point {trim_point}"),
                &[by],
            ),
            Violation::SealUnexplained { log, by } => head(
                log,
                "it is sealed, and nobody had asked for that".into(),
                &[by],
            ),
            Violation::AfterSeal { log, seal, after } => {
                head(log, "it went on after it was sealed".into(), &[seal, after])
            }
            Violation::AfterDelete { log, delete, after } => head(
                log,
                "it went on after it was deleted".into(),
                &[delete, after],
            ),
            Violation::DeleteUnexplained { log, id, by } => head(
                log,
                format!("the one with id {id} is gone, and nobody had asked for that"),
                &[by],
            ),
            Violation::GapNotTrimmed {
                log,
                from,
                to,
                read,
            } => head(
                log,
                format!("a reader was not given {from}..{to}, which was not trimmed"),
                &[read],
            ),
            Violation::StrictGap {
                log,
                from,
                to,
                read,
            } => head(log, format!("a strict read left out {from}..{to}"), &[read]),
            Violation::Jump {
                log,
                expected,
                found,
                read,
            } => head(
                log,
                format!("a reader was given offset {found} where {expected} was next"),
                &[read],
            ),
            Violation::SessionBack {
                log,
                session,
                what,
                first,
                second,
            } => head(
                log,
                format!("the {what} that session {session} was shown went back"),
                &[first, second],
            ),
            Violation::BelowFloor {
                log,
                read,
                floor,
                tail,
            } => head(
                log,
                format!("a session that had seen the tail at {floor} was shown {tail}"),
                &[read],
            ),
        }
    }
}

fn both<'a>(one: &'a Witness, two: Option<&'a Witness>) -> Vec<&'a Witness> {
    std::iter::once(one).chain(two).collect()
}
