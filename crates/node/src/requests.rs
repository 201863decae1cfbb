//! A client's request as the command that it asks for.

use bytes::Bytes;
use paxlog_log::{
    Body, Command, Conditions, ConfigChange, CursorName, Expected, FenceToken, LogConfig, LogId,
    LogName, NameError, Offset, Origin, Outcome, ProducerId, ProducerName, Receipt,
};
use paxlog_wire::client::{self, CommandBody};
use paxlog_wire::{Code, WireError, batch};

use crate::node::Node;

/// A command to order; or its answer, where nothing is to be ordered.
type Asked = Result<Command, Outcome>;

/// The command that a request asks for, as it is ordered. Opening a log is to make it if it is not there.
///
/// # Errors
/// `Invalid` or `TooLarge`: it makes no sense, or its batch is not one.
pub fn command_of(body: CommandBody, batch: &[Bytes]) -> Result<Command, WireError> {
    match body {
        CommandBody::OpenProducer { nonce, name } => {
            let name = name
                .map(|name| ProducerName::new(&name))
                .transpose()
                .map_err(|error| bad_name("producer name", &error))?;
            Ok(Command {
                origin: None,
                body: Body::OpenProducer { nonce, name },
            })
        }
        CommandBody::CreateLog {
            origin,
            name,
            if_absent,
            config,
        } => numbered(
            origin,
            Body::CreateLog {
                name: log_name(&name)?,
                if_absent,
                config: config_of(config),
            },
        ),
        CommandBody::OpenLog { origin, name, .. } => numbered(
            origin,
            Body::CreateLog {
                name: log_name(&name)?,
                if_absent: true,
                config: LogConfig::default(),
            },
        ),
        CommandBody::Append {
            origin,
            log,
            if_tail,
            fence,
        } => {
            let info = batch::check(batch).map_err(|error| batch_refused(&error))?;
            let body = Body::Append {
                log: LogId(log),
                records: info.records,
                bytes: info.bytes,
                on: Conditions {
                    if_tail: if_tail.map(Offset),
                    fence: fence.as_deref().map(fence_token).transpose()?,
                },
            };
            numbered(Some(origin), body)
        }
        CommandBody::Trim { origin, log, to } => numbered(
            origin,
            Body::Trim {
                log: LogId(log),
                to: Offset(to),
            },
        ),
        CommandBody::Seal { origin, log } => numbered(origin, Body::Seal { log: LogId(log) }),
        CommandBody::AlterLog {
            origin,
            log,
            change,
        } => numbered(
            origin,
            Body::AlterLog {
                log: LogId(log),
                change: change_of(change),
            },
        ),
        CommandBody::DeleteLog { origin, log } => {
            numbered(origin, Body::DeleteLog { log: LogId(log) })
        }
        CommandBody::Fence {
            origin,
            log,
            token,
            expect,
        } => numbered(
            origin,
            Body::Fence {
                log: LogId(log),
                token: token.as_deref().map(fence_token).transpose()?,
                expect: expected(expect, |token| fence_token(&token))?,
            },
        ),
        CommandBody::SetCursor {
            origin,
            log,
            name,
            at,
            expect,
        } => numbered(
            origin,
            Body::SetCursor {
                log: LogId(log),
                name: cursor_name(&name)?,
                at: Offset(at),
                expect: expected(expect, |at| Ok(Offset(at)))?,
            },
        ),
        CommandBody::DeleteCursor { origin, log, name } => numbered(
            origin,
            Body::DeleteCursor {
                log: LogId(log),
                name: cursor_name(&name)?,
            },
        ),
    }
}

impl Node {
    /// The command of a request; or its answer, where nothing is to be ordered.
    pub(crate) fn asked(&self, body: CommandBody, batch: &[Bytes]) -> Result<Asked, WireError> {
        match body {
            CommandBody::OpenLog {
                origin,
                name,
                create,
            } => self.open_log(origin, log_name(&name)?, create),
            body => command_of(body, batch).map(Ok),
        }
    }

    fn open_log(
        &self,
        origin: Option<client::Origin>,
        name: LogName,
        create: bool,
    ) -> Result<Asked, WireError> {
        let found = self.state.by_name(name.as_str());
        let may_create = self.config.may_create_on_append(name.as_str());
        match (found, origin) {
            // With a number the command is ordered in any case, so that its sequence counts.
            (_, Some(_)) if create && (found.is_some() || may_create) => {
                let body = Body::CreateLog {
                    name,
                    if_absent: true,
                    config: LogConfig::default(),
                };
                numbered(origin, body).map(Ok)
            }
            (Some(log), _) => {
                let version = self.state.describe(log).map_or(0, |log| log.version);
                Ok(Err(Outcome::Applied {
                    receipt: Receipt::Created {
                        log,
                        version,
                        existed: true,
                    },
                    duplicate: false,
                }))
            }
            (None, _) if create && may_create => Err(WireError::new(
                Code::Invalid,
                "making a log needs a producer's number",
            )),
            (None, _) => {
                let hint = if create {
                    " (this cluster does not create logs of that name on append)"
                } else {
                    ""
                };
                Err(WireError::new(
                    Code::NotFound,
                    format!(
                        "there is no log {:?}{hint}: make it with `paxlog log create`",
                        name.as_str()
                    ),
                ))
            }
        }
    }
}

fn numbered(origin: Option<client::Origin>, body: Body) -> Result<Command, WireError> {
    match origin {
        Some(origin) => Ok(Command {
            origin: Some(Origin {
                producer: ProducerId(origin.producer),
                epoch: origin.epoch,
                sequence: origin.sequence,
            }),
            body,
        }),
        None => Err(WireError::new(
            Code::Invalid,
            "the command needs a producer's number",
        )),
    }
}

fn bad_name(what: &str, error: &NameError) -> WireError {
    WireError::new(Code::Invalid, format!("bad {what}: {error}"))
}

fn log_name(name: &str) -> Result<LogName, WireError> {
    LogName::new(name).map_err(|error| bad_name("log name", &error))
}

fn cursor_name(name: &str) -> Result<CursorName, WireError> {
    CursorName::new(name).map_err(|error| bad_name("cursor name", &error))
}

fn fence_token(token: &str) -> Result<FenceToken, WireError> {
    FenceToken::new(token).map_err(|error| bad_name("fence", &error))
}

fn expected<T, U>(
    expect: client::Expected<T>,
    convert: impl FnOnce(T) -> Result<U, WireError>,
) -> Result<Expected<U>, WireError> {
    Ok(match expect {
        client::Expected::Any => Expected::Any,
        client::Expected::Absent => Expected::Absent,
        client::Expected::Is(value) => Expected::Is(convert(value)?),
    })
}

fn config_of(config: client::LogConfig) -> LogConfig {
    let client::LogConfig {
        retention_age_ns,
        retention_bytes,
        batch_bytes_max,
        append_bytes_per_s,
    } = config;
    LogConfig {
        retention_age_ns,
        retention_bytes,
        batch_bytes_max,
        append_bytes_per_s,
    }
}

fn change_of(change: client::ConfigChange) -> ConfigChange {
    let client::ConfigChange {
        retention_age_ns,
        retention_bytes,
        batch_bytes_max,
        append_bytes_per_s,
    } = change;
    ConfigChange {
        retention_age_ns,
        retention_bytes,
        batch_bytes_max,
        append_bytes_per_s,
    }
}

fn batch_refused(error: &batch::BatchError) -> WireError {
    use batch::BatchError as E;
    let code = match error {
        E::RecordTooLarge { .. } | E::HeadersTooLarge { .. } | E::BatchTooLarge { .. } => {
            Code::TooLarge
        }
        E::Empty
        | E::Checksum
        | E::Malformed(_)
        | E::Compression(_)
        | E::Compressed(_)
        | E::NoCodec(_)
        | E::Undecodable { .. }
        | E::SectionLength { .. } => Code::Invalid,
    };
    WireError::new(code, error.to_string())
}
