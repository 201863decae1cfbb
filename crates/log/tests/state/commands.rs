//! Commands, in the words the tests use.

use paxlog_log::{
    Body, Command, Conditions, ConfigChange, CursorName, Expected, FenceToken, LogConfig, LogId,
    LogName, Offset, Origin, ProducerId, ProducerName,
};

pub(crate) fn open(nonce: u128, name: Option<&str>) -> Command {
    let name = name.map(|name| ProducerName::new(name).expect("a name"));
    Command {
        origin: None,
        body: Body::OpenProducer { nonce, name },
    }
}

pub(crate) fn numbered(producer: u64, epoch: u32, sequence: u64, body: Body) -> Command {
    Command {
        origin: Some(Origin {
            producer: ProducerId(producer),
            epoch,
            sequence,
        }),
        body,
    }
}

pub(crate) fn create(name: &str, if_absent: bool) -> Body {
    Body::CreateLog {
        name: LogName::new(name).expect("a name"),
        if_absent,
        config: LogConfig::default(),
    }
}

pub(crate) fn append(log: u64, records: u32) -> Body {
    Body::Append {
        log: LogId(log),
        records,
        bytes: records * 10,
        on: Conditions::default(),
    }
}

pub(crate) fn append_if(log: u64, records: u32, tail: Option<u64>, fence: Option<&str>) -> Body {
    Body::Append {
        log: LogId(log),
        records,
        bytes: records * 10,
        on: Conditions {
            if_tail: tail.map(Offset),
            fence: fence.map(token),
        },
    }
}

pub(crate) fn token(token: &str) -> FenceToken {
    FenceToken::new(token).expect("a token")
}

pub(crate) fn fence(log: u64, to: Option<&str>, expect: Expected<FenceToken>) -> Body {
    Body::Fence {
        log: LogId(log),
        token: to.map(token),
        expect,
    }
}

pub(crate) fn set_cursor(log: u64, name: &str, at: u64, expect: Expected<Offset>) -> Body {
    Body::SetCursor {
        log: LogId(log),
        name: CursorName::new(name).expect("a name"),
        at: Offset(at),
        expect,
    }
}

pub(crate) fn delete_cursor(log: u64, name: &str) -> Body {
    Body::DeleteCursor {
        log: LogId(log),
        name: CursorName::new(name).expect("a name"),
    }
}

pub(crate) fn alter(log: u64, change: ConfigChange) -> Body {
    Body::AlterLog {
        log: LogId(log),
        change,
    }
}

pub(crate) fn delete(log: u64) -> Body {
    Body::DeleteLog { log: LogId(log) }
}

pub(crate) fn trim(log: u64, to: u64) -> Body {
    Body::Trim {
        log: LogId(log),
        to: Offset(to),
    }
}

pub(crate) fn seal(log: u64) -> Body {
    Body::Seal { log: LogId(log) }
}
