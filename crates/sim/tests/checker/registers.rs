//! Fences, conditions and cursors: what is wrong is named, with the operations that contradict.

use paxlog_sim::history::{
    Call, ClientId, Consistency, CursorAt, Expected, History, Kind, Observed, OpId, Outcome, Reply,
    Settled, TailReply,
};

use crate::hand::{Hand, LOG, acked, fails, passes, stored};

/// A log to which things are done one after the other.
#[derive(Default)]
struct Log {
    hand: Hand,
    now: u64,
    version: u64,
    tail: u64,
}

impl Log {
    /// An append of version 2.
    fn new() -> Log {
        let mut log = Log {
            version: 1,
            ..Log::default()
        };
        log.append("a", 0, None);
        log
    }

    fn op(&mut self, call: Call, outcome: Outcome) -> OpId {
        self.now += 10;
        self.hand.op(self.now..self.now + 5, call, outcome)
    }

    fn append(&mut self, payload: &str, offset: u64, fence: Option<&str>) -> OpId {
        self.version += 1;
        self.tail = offset + 1;
        let mut outcome = acked(offset);
        if let Outcome::Ok(Reply::Appended(receipt)) = &mut outcome {
            receipt.version = Some(self.version);
        }
        let call = Call::append(LOG, [payload]).on(None, fence.map(str::to_owned));
        self.op(call, outcome)
    }

    /// Refused, having seen the log as it is.
    fn refused(&mut self, call: Call, code: &str, seen: Observed) -> OpId {
        let outcome = Outcome::NotApplied {
            code: code.into(),
            seen: Some(Observed {
                version: Some(self.version),
                ..seen
            }),
        };
        self.op(call, outcome)
    }

    fn fence(&mut self, token: Option<&str>, expect: Expected<String>) -> OpId {
        self.version += 1;
        let reply = Reply::FenceSet {
            tail: self.tail,
            version: Some(self.version),
            duplicate: false,
        };
        self.op(fence(token, expect), Outcome::Ok(reply))
    }

    fn set(&mut self, at: u64, expect: Expected<u64>) -> OpId {
        self.changed(set(at, expect))
    }

    fn changed(&mut self, call: Call) -> OpId {
        self.version += 1;
        let reply = Reply::Changed {
            version: Some(self.version),
            duplicate: false,
        };
        self.op(call, Outcome::Ok(reply))
    }

    fn cursor(&mut self, at: Option<u64>, consistency: Consistency) -> OpId {
        let reply = Reply::Cursor {
            at: at.into(),
            version: Some(self.version),
        };
        let name = "c".into();
        let call = Call::new(LOG, Kind::Cursor { name, consistency });
        self.op(call, Outcome::Ok(reply))
    }

    /// Begun, and never heard of again.
    fn unknown(&mut self, call: Call) -> OpId {
        self.now += 10;
        self.hand.0.begin(self.now, ClientId(1), call)
    }

    fn ends(mut self, payloads: &[&str]) -> History {
        self.hand.0.settle(Settled {
            version: Some(self.version),
            ..Settled::whole(LOG, stored(payloads))
        });
        self.hand.0.finish()
    }
}

fn fence(token: Option<&str>, expect: Expected<String>) -> Call {
    let token = token.map(str::to_owned);
    Call::new(LOG, Kind::Fence { token, expect })
}

fn set(at: u64, expect: Expected<u64>) -> Call {
    let name = "c".into();
    Call::new(LOG, Kind::SetCursor { name, at, expect })
}

fn delete() -> Call {
    Call::new(LOG, Kind::DeleteCursor { name: "c".into() })
}

#[test]
fn an_append_carries_the_fence_that_stands() {
    let mut log = Log::new();
    log.fence(Some("x"), Expected::Absent);
    log.append("b", 1, Some("x"));
    passes(&log.ends(&["a", "b"]));
    // Superseded, or none where there is one.
    for carried in [Some("x"), None] {
        let mut log = Log::new();
        log.fence(Some("x"), Expected::Any);
        let set = log.fence(Some("y"), Expected::Is("x".into()));
        let append = log.append("b", 1, carried);
        fails(&log.ends(&["a", "b"]), "register", &[set, append]);
    }
}

#[test]
fn a_refusal_under_the_fence_that_stands_is_wrong() {
    let mut log = Log::new();
    let carrying =
        |token: Option<&str>| Call::append(LOG, ["b"]).on(None, token.map(str::to_owned));
    let refused = log.refused(carrying(None), "Fenced", Observed::default());
    fails(&log.ends(&["a"]), "register", &[refused]);
    let mut log = Log::new();
    log.refused(carrying(Some("x")), "Fenced", Observed::default());
    passes(&log.ends(&["a"]));
    // An unknown one may have set it meanwhile, if it had begun.
    let mut log = Log::new();
    log.unknown(fence(Some("x"), Expected::Any));
    log.version += 1;
    log.refused(carrying(None), "Fenced", Observed::default());
    passes(&log.ends(&["a"]));
    let mut log = Log::new();
    log.version += 1;
    let refused = log.refused(carrying(None), "Fenced", Observed::default());
    log.unknown(fence(Some("x"), Expected::Any));
    fails(&log.ends(&["a"]), "register", &[refused]);
}

#[test]
fn a_fence_is_set_where_what_was_expected_stood() {
    let mut log = Log::new();
    log.fence(Some("x"), Expected::Absent);
    let second = log.fence(Some("y"), Expected::Absent);
    fails(&log.ends(&["a"]), "register", &[second]);
    let mut log = Log::new();
    let call = fence(Some("x"), Expected::Any);
    let refused = log.refused(call, "Fenced", Observed::default());
    fails(&log.ends(&["a"]), "wrong_refusal", &[refused]);
}

#[test]
fn a_check_tail_tells_the_fence_that_stands() {
    for (shown, right) in [("x", true), ("y", false), ("", false)] {
        let mut log = Log::new();
        log.fence(Some("x"), Expected::Any);
        let tail = Outcome::Ok(Reply::Tail(TailReply {
            offset: 1,
            version: Some(log.version),
            fence: Some(shown.into()),
            ..TailReply::default()
        }));
        let call = Call::check_tail(LOG, Consistency::Linearizable);
        let check = log.op(call, tail);
        match right {
            true => passes(&log.ends(&["a"])),
            false => drop(fails(&log.ends(&["a"]), "register", &[check])),
        }
    }
}

/// What an unknown append carried stood at some time when it can have been applied.
#[test]
fn an_unknown_append_that_is_there_carried_a_fence_that_stood() {
    let under = |token: &str| {
        let mut log = Log::new();
        log.fence(Some("x"), Expected::Any);
        let call = Call::append(LOG, ["b"]).on(None, Some(token.into()));
        let id = log.unknown(call);
        (log.version, log.tail) = (log.version + 1, 2);
        log.fence(Some("y"), Expected::Any);
        log.append("c", 2, Some("y"));
        (log.ends(&["a", "b", "c"]), id)
    };
    passes(&under("x").0);
    let (history, id) = under("z");
    fails(&history, "register", &[id]);
    // That one stood only when the version that was left was over.
    let (history, _) = under("y");
    fails(&history, "version_unexplained", &[]);
}

#[test]
fn a_condition_names_the_tail() {
    let on = |tail| Call::append(LOG, ["b"]).on(Some(tail), None);
    let seen = |tail| Observed {
        tail: Some(tail),
        ..Observed::default()
    };
    let with = |wanted, found| {
        let mut log = Log::new();
        let id = log.refused(on(wanted), "TailMismatch", seen(found));
        (log.ends(&["a"]), id)
    };
    passes(&with(3, 1).0);
    let (history, id) = with(1, 1);
    fails(&history, "wrong_refusal", &[id]);
    // A tail that never was.
    let (history, id) = with(3, 2);
    fails(&history, "no_batch_end", &[id]);
    let mut log = Log::new();
    let id = log.refused(Call::append(LOG, ["b"]), "TailMismatch", seen(1));
    fails(&log.ends(&["a"]), "wrong_refusal", &[id]);
    // The fence is looked at first.
    let mut log = Log::new();
    let set = log.fence(Some("x"), Expected::Any);
    let id = log.refused(on(3), "TailMismatch", seen(1));
    fails(&log.ends(&["a"]), "register", &[set, id]);
}

#[test]
fn a_cursor_stands_where_it_was_set() {
    for consistency in [Consistency::Linearizable, Consistency::Local] {
        let shown = |at| {
            let mut log = Log::new();
            let set = log.set(1, Expected::Absent);
            let get = log.cursor(at, consistency);
            (log.ends(&["a"]), [set, get])
        };
        passes(&shown(Some(1)).0);
        for stale in [None, Some(0)] {
            let (history, named) = shown(stale);
            fails(&history, "register", &named);
        }
    }
    // Somebody else may have set it, once, in a version that was left.
    let with = |left: u64| {
        let mut log = Log::new();
        log.set(1, Expected::Any);
        log.unknown(set(0, Expected::Is(1)));
        log.version += left;
        log.cursor(Some(0), Consistency::Linearizable);
        log.ends(&["a"])
    };
    passes(&with(1));
    fails(&with(0), "register", &[]);
    // But not if it expected something else.
    let mut log = Log::new();
    log.set(1, Expected::Any);
    log.unknown(set(0, Expected::Absent));
    log.version += 1;
    let get = log.cursor(Some(0), Consistency::Linearizable);
    fails(&log.ends(&["a"]), "register", &[get]);
}

#[test]
fn a_compare_and_set_compares() {
    for (expect, right) in [
        (Expected::Is(1), true),
        (Expected::Any, true),
        (Expected::Is(0), false),
        (Expected::Absent, false),
    ] {
        let mut log = Log::new();
        let first = log.set(1, Expected::Any);
        let second = log.set(0, expect.clone());
        match right {
            true => passes(&log.ends(&["a"])),
            false => drop(fails(&log.ends(&["a"]), "register", &[first, second])),
        }
        // And what is refused was somewhere else.
        for found in [CursorAt::At(1), CursorAt::At(0), CursorAt::Absent] {
            let mut log = Log::new();
            log.set(1, Expected::Any);
            let seen = Observed {
                cursor: Some(found),
                ..Observed::default()
            };
            let id = log.refused(set(0, expect.clone()), "CursorMismatch", seen);
            let history = log.ends(&["a"]);
            let same = match (&expect, found) {
                (Expected::Any, _) | (Expected::Absent, CursorAt::Absent) => true,
                (Expected::Is(at), CursorAt::At(is)) => *at == is,
                _ => false,
            };
            match (same, found) {
                (true, _) => drop(fails(&history, "wrong_refusal", &[id])),
                (false, CursorAt::At(1)) => passes(&history),
                (false, _) => drop(fails(&history, "register", &[id])),
            }
        }
    }
}

#[test]
fn a_cursor_is_deleted_where_there_is_one() {
    let mut log = Log::new();
    log.set(1, Expected::Any);
    log.changed(delete());
    log.cursor(None, Consistency::Linearizable);
    log.refused(delete(), "NotFound", Observed::default());
    passes(&log.ends(&["a"]));
    let mut log = Log::new();
    let id = log.changed(delete());
    fails(&log.ends(&["a"]), "register", &[id]);
    let mut log = Log::new();
    let first = log.set(1, Expected::Any);
    let id = log.refused(delete(), "NotFound", Observed::default());
    fails(&log.ends(&["a"]), "register", &[first, id]);
}

#[test]
fn a_cursor_stands_at_most_at_the_tail() {
    let mut log = Log::new();
    let id = log.set(2, Expected::Any);
    fails(&log.ends(&["a"]), "no_batch_end", &[id]);
    // Also where the log came so far only later.
    let mut log = Log::new();
    let id = log.set(2, Expected::Any);
    log.append("b", 1, None);
    fails(&log.ends(&["a", "b"]), "order", &[id]);
    // And where both were under way at once, by their versions.
    let mut log = Log::new();
    let id = log.set(2, Expected::Any);
    let append = log.append("b", 1, None);
    let mut history = log.ends(&["a", "b"]);
    history.operations[append.0 as usize].call = 20;
    fails(&history, "states", &[id, append]);
}
