//! From the command line's flags to a connected client, and from its errors to the user's.

use std::time::Duration;

use paxlog_client::{Client, Code, Error, OutcomeFact, Profile, ProfileError, Retry};

use crate::cli::Global;
use crate::failure::{Exit, Failure};

/// Loads the profile that the flags, the environment or the usual places name.
pub(crate) fn profile(global: &Global) -> Result<Profile, Failure> {
    let loaded = match &global.profile {
        Some(path) => Profile::load(path),
        None => Profile::find(),
    };
    loaded.map_err(|error| {
        let hint = match &error {
            ProfileError::NotFound { .. } => {
                "start `paxlog dev` in this directory, or name a profile with --profile FILE or PAXLOG_PROFILE"
            }
            ProfileError::Unreadable { .. } => "`paxlog dev` writes .paxlog/client.toml; name another with --profile FILE",
            ProfileError::Certificate { .. } | ProfileError::Unfit { .. } => "paths are relative to the profile; `paxlog certs issue --client NAME` makes a certificate",
            ProfileError::Syntax { .. }
            | ProfileError::UnknownKey { .. }
            | ProfileError::Missing { .. }
            | ProfileError::Invalid { .. } => "a profile has the keys cluster, servers, ca, cert and key; see `paxlog certs issue --help`",
        };
        Failure::usage(error.to_string()).hint(hint)
    })
}

/// Connects within the deadline.
pub(crate) async fn connect(global: &Global, deadline: Duration) -> Result<Client, Failure> {
    Ok(Client::connect_within(profile(global)?, deadline).await?)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let exit = match error.exit_code() {
            1 => Exit::Refused,
            4 => Exit::Unknown,
            5 => Exit::Integrity,
            _ => Exit::Unavailable,
        };
        let message = if error.message.is_empty() {
            error.code.name().to_owned()
        } else {
            error.message.clone()
        };
        let mut failure = Failure::new(exit, message).code(error.code.name());
        failure.hint = hint(&error).map(str::to_owned);
        let retry = match error.retry {
            Retry::Now => "now",
            Retry::After(_) => "after",
            Retry::Elsewhere => "elsewhere",
            Retry::Never => "never",
        };
        failure = failure.fact("retry", retry);
        if let Retry::After(time) = error.retry {
            failure = failure.fact("retry_after_ms", time.as_millis() as u64);
        }
        match error.outcome {
            OutcomeFact::NotApplied => failure = failure.fact("outcome", "not_applied"),
            OutcomeFact::Unknown => failure = failure.fact("outcome", "unknown"),
            OutcomeFact::NotAWrite => {}
        }
        for (key, value) in [
            ("tail", error.tail),
            ("trim_point", error.trim_point),
            ("version", error.version),
            ("skip_to", error.skip_to()),
        ] {
            if let Some(value) = value {
                failure = failure.fact(key, value);
            }
        }
        if let Some(leader) = &error.leader {
            failure = failure
                .fact("leader", leader.replica)
                .fact("leader_addresses", leader.addresses.clone());
        }
        failure
    }
}

/// The way out of an error, where the message alone does not say it.
fn hint(error: &Error) -> Option<&'static str> {
    if error.outcome == OutcomeFact::Unknown {
        return Some("it may have been applied, or may yet be: look before you send it again");
    }
    match error.code {
        // The message names the cursor.
        Code::NotFound if error.version.is_some() => None,
        Code::NotFound => {
            Some("`paxlog log list` shows what there is; `paxlog log create NAME` makes a log")
        }
        Code::AlreadyExists => Some("--if-absent takes an existing log for an answer"),
        Code::NotLeader | Code::Electing | Code::Unavailable | Code::DeadlineExceeded => {
            Some("`paxlog cluster status` shows which replicas answer; try again")
        }
        Code::Throttled | Code::Overloaded => Some("try again, more slowly"),
        Code::DiskFull => Some("`paxlog trim` makes room; reads still work"),
        Code::Sealed => Some("append to another log; a seal is for good"),
        Code::Fenced if error.found.is_some() => Some("another producer of this name is at work"),
        Code::Fenced => Some("`paxlog check-tail` shows the log's fence; --fence carries one"),
        Code::TailMismatch => {
            Some("somebody else appended: look at what is there, then append at the new tail")
        }
        Code::CursorMismatch => {
            Some("somebody else moved the cursor: `paxlog cursor get` shows where it stands")
        }
        Code::LogDeleted => Some("a log made again under this name is another one: open it anew"),
        Code::TooLarge => Some("a record is at most 1 MiB, its headers 32 KiB"),
        Code::Unauthenticated | Code::Forbidden | Code::WrongCluster => {
            Some("check that cluster, ca, cert and key of the profile belong to this cluster")
        }
        Code::VersionMismatch => Some(
            "check the ports of `servers` in the profile (clients' are 7400 by default, not 7410), and that client and cluster are of the same release",
        ),
        Code::Corrupt => {
            Some("another replica may have a good copy; `paxlog wal verify` on the damaged one")
        }
        Code::Internal => Some("this is a bug: please report it"),
        Code::OutcomeUnknown
        | Code::DedupExpired
        | Code::SequenceGap
        | Code::Invalid
        | Code::Trimmed
        | Code::OffsetOutOfRange
        | Code::DataLost => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_cluster_become_exit_codes_and_facts() {
        let failure = Failure::from(Error::new(Code::NotFound, "no log named x"));
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.hint.unwrap().contains("log create"));
        let failure = Failure::from(Error::new(Code::Electing, "no leader"));
        assert_eq!(failure.exit, Exit::Unavailable);
        assert_eq!(failure.facts["outcome"], "not_applied");
        let failure =
            Failure::from(Error::new(Code::DeadlineExceeded, "late").with_unknown_outcome());
        assert_eq!(failure.exit, Exit::Unknown);
        assert_eq!(failure.facts["outcome"], "unknown");
        let failure = Failure::from(Error::new(Code::Corrupt, "bad copy"));
        assert_eq!(failure.exit, Exit::Integrity);
    }

    #[test]
    fn a_missing_profile_is_wrong_usage() {
        let global = Global {
            output: crate::output::Format::Text,
            profile: Some("/nowhere/client.toml".into()),
            log_format: crate::output::Format::Text,
        };
        let failure = profile(&global).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("/nowhere/client.toml"));
    }
}
