//! Every error code there is, provoked over real replicas and looked at as they say it: what it promises, and what was in
//! fact applied.
//!
//! [`promise`] has the catalogue once more, as `docs/protocol.md` and the program's help have it, and not taken from the
//! program: it is a match without a wildcard, so a code that is added does not compile here before somebody says how it
//! comes about.

mod places;
mod requests;

use std::collections::BTreeSet;
use std::path::Path;

use paxlog_wire::client::{Answer, CommandBody, LogRef, Origin, Query, TailInfo};
use serde_json::Value;

use paxlog_wire::{Code, OutcomeFact, Retry, WireError};

use crate::support::raw::Raw;
use crate::support::stub::Stub;
use crate::support::{Cluster, Options, Output, PATIENT, block_on};

/// What a code says to whoever gets it, and how it is provoked here.
pub(crate) struct Promise {
    pub(crate) retry: &'static str,
    pub(crate) outcome: Outcome,
    /// The program's exit code.
    pub(crate) exit: i32,
    by: By,
}

/// What is known of the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    NotApplied,
    Unknown,
    /// Of reads, mostly; a write that gets it was not applied.
    None,
}

/// What provokes a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// A request to a healthy cluster.
    Request,
    /// Whoever comes in with the wrong papers.
    Door,
    /// Replicas that stand still or are gone.
    Outage,
    /// Bytes on a disk that change.
    Damage,
    /// A disk without room.
    FullDisk,
    /// Nothing that can be done to a real cluster by a test: why not, and the test that has it otherwise.
    Elsewhere {
        why: &'static str,
        file: &'static str,
        test: &'static str,
    },
}

/// The catalogue.
pub(crate) fn promise(code: Code) -> Promise {
    use Outcome::{NotApplied, Unknown};
    let (retry, outcome, exit, by) = match code {
        Code::NotLeader => ("elsewhere", NotApplied, 3, By::Request),
        Code::Electing => ("after", NotApplied, 3, By::Outage),
        Code::Unavailable => ("after", NotApplied, 3, By::Outage),
        Code::OutcomeUnknown => ("now", Unknown, 4, By::Outage),
        Code::DeadlineExceeded => ("now", NotApplied, 3, By::Request),
        Code::DedupExpired => ("never", Unknown, 4, By::Request),
        Code::Throttled => ("after", NotApplied, 3, By::Request),
        Code::Overloaded => (
            "after",
            NotApplied,
            3,
            By::Elsewhere {
                why: "a replica reads no further while 32 MiB of commands wait, and refuses at 64 MiB: only some dozens of \
                      clients that send their largest batches at one moment come between the two",
                file: "crates/node/src/commands.rs",
                test: "whoever_has_more_than_its_share_of_a_full_queue_is_refused_and_no_other",
            },
        ),
        Code::DiskFull => ("after", NotApplied, 3, By::FullDisk),
        Code::Fenced => ("never", NotApplied, 1, By::Request),
        Code::TailMismatch => ("never", NotApplied, 1, By::Request),
        Code::SequenceGap => ("never", NotApplied, 1, By::Request),
        Code::Sealed => ("never", NotApplied, 1, By::Request),
        Code::CursorMismatch => ("never", NotApplied, 1, By::Request),
        Code::LogDeleted => ("never", NotApplied, 1, By::Request),
        Code::TooLarge => ("never", NotApplied, 1, By::Request),
        Code::Invalid => ("never", NotApplied, 1, By::Request),
        Code::NotFound => ("never", NotApplied, 1, By::Request),
        Code::AlreadyExists => ("never", NotApplied, 1, By::Request),
        Code::Trimmed => ("never", Outcome::None, 1, By::Request),
        Code::OffsetOutOfRange => ("after", Outcome::None, 1, By::Request),
        Code::Corrupt => ("elsewhere", Outcome::None, 5, By::Damage),
        Code::DataLost => (
            "never",
            Outcome::None,
            5,
            By::Elsewhere {
                why: "no replica says it before there is repair: it is for when no replica has a good copy",
                file: "tests/codes.rs",
                test: "the_program_ends_as_the_catalogue_says_whatever_a_replica_answers",
            },
        ),
        Code::Internal => (
            "never",
            Unknown,
            4,
            By::Elsewhere {
                why: "a replica says it of its own bugs only",
                file: "tests/codes.rs",
                test: "the_program_ends_as_the_catalogue_says_whatever_a_replica_answers",
            },
        ),
        Code::Unauthenticated => ("never", NotApplied, 1, By::Door),
        Code::Forbidden => ("never", NotApplied, 1, By::Door),
        Code::WrongCluster => ("never", NotApplied, 1, By::Door),
        Code::VersionMismatch => ("never", NotApplied, 1, By::Door),
    };
    Promise {
        retry,
        outcome,
        exit,
        by,
    }
}

pub(crate) fn word(retry: Retry) -> &'static str {
    match retry {
        Retry::Now => "now",
        Retry::After(_) => "after",
        Retry::Elsewhere => "elsewhere",
        Retry::Never => "never",
    }
}

/// What was seen of a theme: at its end that is to be all of it.
struct Seen {
    by: By,
    codes: BTreeSet<Code>,
}

impl Seen {
    fn new(by: By) -> Seen {
        Seen {
            by,
            codes: BTreeSet::new(),
        }
    }

    /// A refusal came: it is this one, and says what is promised of it.
    #[track_caller]
    fn refused(&mut self, code: Code, error: &WireError) {
        assert_eq!(error.code, code, "{error}");
        let promise = promise(code);
        assert_eq!(word(error.retry()), promise.retry, "{error}");
        let outcome = match error.outcome() {
            OutcomeFact::NotApplied => Outcome::NotApplied,
            OutcomeFact::Unknown => Outcome::Unknown,
            OutcomeFact::NotAWrite => Outcome::None,
        };
        assert_eq!(outcome, promise.outcome, "{error}");
        assert_eq!(i32::from(code.exit_code()), promise.exit, "{error}");
        assert!(error.message.len() > 8, "{error}");
        println!("{} ({} ms): {}", code, retry_ms(error), error.message);
        self.codes.insert(code);
    }

    /// Every code of the theme was provoked, and no other.
    fn all(self) {
        let of_theme = |code: &&Code| promise(**code).by == self.by;
        let due: BTreeSet<Code> = Code::ALL.iter().filter(of_theme).copied().collect();
        assert_eq!(self.codes, due, "{:?}", self.by);
    }
}

fn retry_ms(error: &WireError) -> u128 {
    match error.retry() {
        Retry::After(wait) => wait.as_millis(),
        Retry::Now | Retry::Elsewhere | Retry::Never => 0,
    }
}

/// A log as the replica at the other end knows it, which leads.
async fn tail(leader: &Raw, log: u64) -> TailInfo {
    let query = Query::CheckTail {
        log: LogRef::Id(log),
        linearizable: true,
    };
    match leader.ask(query, 60_000).await {
        Ok(Answer::Tail(tail)) => tail,
        other => panic!("{other:?}"),
    }
}

/// The log as it was, whatever was refused.
async fn unchanged(leader: &Raw, before: &TailInfo) {
    let mut now = tail(leader, before.log).await;
    now.stale_ms = before.stale_ms;
    assert_eq!(now, *before);
}

fn append_to(log: u64, origin: Origin) -> CommandBody {
    CommandBody::Append {
        origin,
        log,
        if_tail: None,
        fence: None,
    }
}

#[test]
fn codes_that_are_not_provoked_here_are_elsewhere_and_everybody_knows_where() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for &code in Code::ALL {
        if let By::Elsewhere { why, file, test } = promise(code).by {
            let text = std::fs::read_to_string(root.join(file)).expect("the test's file");
            assert!(text.contains(&format!("fn {test}(")), "{code}: {file}");
            assert!(why.len() > 20, "{code}: {why}");
        }
    }
}

#[test]
fn codes_of_requests_doors_damage_and_outages_keep_their_promises() {
    let mut cluster = Cluster::made(&Options::default());
    cluster.configure(PATIENT);
    cluster.start_all();
    cluster.wait_all_ready();
    let profile = cluster.profile();
    let leader = cluster.leader();
    let follower = 1 + leader % 3;
    let at = |id: u16| cluster.place(id).clients;
    block_on(async {
        requests::requests(&profile, at(leader), at(follower)).await;
        places::doors(&cluster, leader).await;
    });
    block_on(async {
        let mut seen = Seen::new(By::Outage);
        places::lost_majority(&mut cluster, &mut seen).await;
        let follower = 1 + cluster.leader() % 3;
        places::damage(&cluster, follower).await;
        places::no_leader(&mut cluster, follower, &mut seen).await;
        places::nothing_but_damage(&cluster);
        seen.all();
    });
    cluster.no_panics();
}

/// What the library does about each code is done, and still the end is the one promised: nothing is applied, and nobody
/// says that it is.
#[test]
fn the_program_ends_as_the_catalogue_says_whatever_a_replica_answers() {
    let cluster = Cluster::made(&Options {
        replicas: 1,
        create_on_append: true,
    });
    let stub = Stub::in_place_of(&cluster, 1);
    let mut due = Vec::new();
    for &code in Code::ALL {
        let name = code.name();
        for (words, write) in [
            (["append", name, "-m", "x"].to_vec(), true),
            (vec!["trim", name, "1"], true),
            (vec!["cursor", "set", name, "me", "1"], true),
            (vec!["log", "create", name], true),
            (vec!["check-tail", name], false),
            (vec!["read", name], false),
        ] {
            due.push((code, words, write));
        }
    }
    let mut rounds = 0;
    while !due.is_empty() {
        rounds += 1;
        assert!(rounds < 8, "it never knows: {due:?}");
        let mut again = Vec::new();
        // Most of their time is spent waiting for their deadlines.
        for some in due.chunks(14) {
            let run = |words: &[&str]| {
                let run = cluster.paxlog(words).args(&["--output", "json"]);
                run.args(&["--deadline", "400ms"]).start()
            };
            let running: Vec<_> = some.iter().map(|(_, words, _)| run(words)).collect();
            for (one, running) in some.iter().zip(running) {
                let (code, ref words, write) = *one;
                let output = running.end();
                let error = output.error_beside_results();
                // The deadline passed between an attempt and its answer: the truth, but not what is looked for here.
                if write && end(code, write).exit == 3 && output.code == Some(4) {
                    assert_eq!(error["outcome"], "unknown", "{words:?}: {error}");
                    again.push(one.clone());
                    continue;
                }
                ended(code, write, &output, &error);
            }
        }
        due = again;
    }
    drop(stub);
}

fn ended(code: Code, write: bool, output: &Output, error: &Value) {
    let end = end(code, write);
    let said = format!("{code}, write: {write}: {error}");
    assert_eq!(output.code, Some(end.exit), "{said}");
    assert_eq!(error["outcome"], end.outcome, "{said}");
    let name = error["code"].as_str().unwrap_or_default();
    assert!(end.codes.contains(&name), "{said}");
    if name == code.name() {
        assert_eq!(error["retry"], promise(code).retry, "{said}");
    }
}

/// How the program ends where each attempt gets a code.
struct End {
    exit: i32,
    outcome: &'static str,
    codes: Vec<&'static str>,
}

fn end(code: Code, write: bool) -> End {
    let promise = promise(code);
    // What is worth another attempt, and was refused for certain each time, ends for want of time.
    let again = match code {
        Code::SequenceGap | Code::DedupExpired | Code::Corrupt => write,
        // Of a question the outcome is never in doubt.
        Code::OutcomeUnknown => !write,
        _ => false,
    };
    let exit = if again { 3 } else { promise.exit };
    let unknown = promise.outcome == Outcome::Unknown && !again;
    let mut codes = vec![code.name()];
    if exit == 3 {
        codes.push(Code::DeadlineExceeded.name());
    }
    End {
        exit,
        outcome: if unknown { "unknown" } else { "not_applied" },
        codes,
    }
}
