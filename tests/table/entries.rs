//! What each verb is tried with.

use paxlog_wire::Code;

/// A verb that asks the cluster.
pub(super) struct Entry {
    /// The words that one types.
    pub(super) command: &'static str,
    pub(super) results: Results,
    /// What follows it where something is wrong, and what comes of it.
    pub(super) wrong: Vec<(&'static str, Wrong)>,
    /// What follows it where something happens to the cluster meanwhile; `{log}` is a log of its own.
    pub(super) midway: &'static str,
    /// What shows whether it was applied to that log.
    pub(super) effect: Effect,
}

/// How many results a verb prints when all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Results {
    One,
    /// One a record, cursor, log or replica.
    Many,
}

/// What is wrong with an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Seen before anything is sent.
    Usage,
    /// Refused with this code.
    Is(Code),
}

/// What a verb does to a log of two records, whose cursor `me` stands at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only asks.
    Nothing,
    /// It appends to logs of its own, and says how much.
    Elsewhere,
    Appends,
    Trims,
    Seals,
    Fences,
    SetsCursor,
    DeletesCursor,
    Alters,
    Deletes,
    /// Makes it: it is not there before.
    Creates,
}

impl Entry {
    /// Whether it changes anything.
    pub(super) fn writes(&self) -> bool {
        !matches!(self.effect, Effect::Nothing | Effect::Elsewhere)
    }

    /// Whether it takes a deadline: a load has a length of its own.
    pub(super) fn has_deadline(&self) -> bool {
        self.effect != Effect::Elsewhere
    }
}

/// Every verb that asks a cluster. `{large}` is a file of a record over the limit.
#[rustfmt::skip]
pub(super) fn entries() -> Vec<Entry> {
    use Effect::{
        Alters, Appends, Creates, Deletes, DeletesCursor, Elsewhere, Fences, Nothing, Seals, SetsCursor, Trims,
    };
    use Results::{Many, One};
    use Wrong::{Is, Usage};
    let missing = ("none", Is(Code::NotFound));
    let bad_name = ("bad*name", Usage);
    let soon = ("notes --deadline soon", Usage);
    let entry = |command, results, midway, effect, wrong: &[(&'static str, Wrong)]| Entry {
        command,
        results,
        wrong: wrong.to_vec(),
        midway,
        effect,
    };
    vec![
        entry("append", One, "{log} -m x", Appends, &[
            ("bad*name -m x", Usage), ("notes -m x --deadline soon", Usage),
            ("notes -m x --as pages", Usage), ("notes -m x --compression brotli", Usage),
            ("notes -m x --if-tail some", Usage), ("notes -m x --linger long", Usage),
            ("notes -m {} --as json", Usage), ("notes /nowhere/in.txt", Usage),
            ("none -m x", Is(Code::NotFound)), ("shut -m x", Is(Code::Sealed)),
            ("fenced -m x", Is(Code::Fenced)), ("fenced -m x --fence v", Is(Code::Fenced)),
            ("notes -m x --fence v", Is(Code::Fenced)), ("notes -m x --if-tail 77", Is(Code::TailMismatch)),
            ("notes {large} --as whole", Is(Code::TooLarge)), ("notes {large}", Is(Code::TooLarge)),
            ("small -m 0123456789-0123456789-0123456789", Is(Code::TooLarge)),
        ]),
        entry("read", Many, "{log}", Nothing, &[
            bad_name, soon, missing, ("notes --from soon", Usage), ("notes --until soon", Usage), ("notes -n x", Usage),
            ("notes --as pages", Usage), ("notes --from cursor:nobody", Is(Code::NotFound)),
            ("notes --from 99", Is(Code::OffsetOutOfRange)), ("notes --from 99 --linearizable", Is(Code::OffsetOutOfRange)),
        ]),
        entry("tail", Many, "{log}", Nothing, &[
            bad_name, soon, missing, ("notes -n x", Usage), ("notes --from first -n 3", Usage),
            ("notes --from 99", Is(Code::OffsetOutOfRange)), ("none -f", Is(Code::NotFound)),
        ]),
        entry("check-tail", One, "{log}", Nothing, &[bad_name, soon, missing, ("none --local", Is(Code::NotFound))]),
        entry("trim", One, "{log} 1", Trims, &[
            ("bad*name 1", Usage), ("notes x", Usage), ("notes 1 --deadline soon", Usage), ("notes", Usage),
            ("none 1", Is(Code::NotFound)), ("notes 99", Is(Code::OffsetOutOfRange)),
        ]),
        entry("seal", One, "{log}", Seals, &[bad_name, soon, missing]),
        entry("fence", One, "{log} w", Fences, &[
            ("bad*name w", Usage), ("notes", Usage), ("notes w --clear", Usage), ("notes w --deadline soon", Usage),
            ("notes w --expect v --expect-none", Usage),
            ("none w", Is(Code::NotFound)), ("fenced w --expect v", Is(Code::Fenced)),
            ("fenced w --expect-none", Is(Code::Fenced)), ("notes w --expect v", Is(Code::Fenced)),
        ]),
        entry("cursor get", One, "{log} me", Nothing, &[
            ("bad*name me", Usage), ("notes me --deadline soon", Usage), ("notes", Usage),
            ("none me", Is(Code::NotFound)), ("notes nobody", Is(Code::NotFound)), ("notes nobody --local", Is(Code::NotFound)),
        ]),
        entry("cursor set", One, "{log} me 2", SetsCursor, &[
            ("bad*name me 1", Usage), ("notes me x", Usage), ("notes me 1 --deadline soon", Usage),
            ("notes me 1 --expect 1 --expect-none", Usage),
            ("none me 1", Is(Code::NotFound)), ("notes me 99", Is(Code::OffsetOutOfRange)),
            ("notes me 1 --expect 77", Is(Code::CursorMismatch)), ("notes me 1 --expect-none", Is(Code::CursorMismatch)),
            ("notes nobody 1 --expect 1", Is(Code::CursorMismatch)),
        ]),
        entry("cursor list", Many, "{log}", Nothing, &[bad_name, soon, missing]),
        entry("cursor delete", One, "{log} me", DeletesCursor, &[
            ("bad*name me", Usage), ("notes me --deadline soon", Usage),
            ("none me", Is(Code::NotFound)), ("notes nobody", Is(Code::NotFound)),
        ]),
        entry("log alter", One, "{log} --retention-age 7d", Alters, &[
            ("bad*name --retention-age 7d", Usage), ("notes", Usage), ("notes --retention-age soon", Usage),
            ("notes --max-batch 5GiB", Usage), ("notes --append-rate 0", Usage),
            ("none --retention-age 7d", Is(Code::NotFound)),
        ]),
        entry("log delete", One, "{log}", Deletes, &[bad_name, soon, missing]),
        entry("log create", One, "{log}", Creates, &[
            bad_name, soon, ("none --retention-bytes much", Usage), ("none --max-batch 5GiB", Usage),
            ("notes", Is(Code::AlreadyExists)), ("shut --retention-age 7d", Is(Code::AlreadyExists)),
        ]),
        entry("log list", Many, "", Nothing, &[("--deadline soon", Usage), ("notes", Usage)]),
        entry("log describe", One, "{log}", Nothing, &[bad_name, soon, missing, ("none --local", Is(Code::NotFound))]),
        entry("cluster status", Many, "", Nothing, &[("--deadline soon", Usage), ("notes", Usage)]),
        entry("bench append", One, "--secs 2 --clients 1", Elsewhere, &[
            ("--secs none", Usage), ("--payload 2000000", Usage), ("--secs 1 --log none", Is(Code::NotFound)),
        ]),
        entry("bench tail", One, "--secs 2", Elsewhere, &[("--secs none", Usage)]),
    ]
}
