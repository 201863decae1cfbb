//! Commands, in the words the tests use.

use paxlog_log::{Body, Command, LogId, LogName, Offset, Origin, ProducerId, ProducerName};

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
    }
}

pub(crate) fn append(log: u64, records: u32) -> Body {
    Body::Append {
        log: LogId(log),
        records,
        bytes: records * 10,
    }
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
