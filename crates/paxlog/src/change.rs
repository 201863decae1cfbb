//! Commands that change something, once: however one ends, by Ctrl-C too, it says what is known of it.

use std::time::Duration;

use paxlog_client::{Client, Error, OutcomeFact};

use crate::cli::Global;
use crate::connect;
use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// A client for one change, with the signals taken over.
pub(crate) struct Change {
    pub(crate) client: Client,
    interrupt: Interrupt,
}

impl Change {
    /// Connects within the deadline.
    ///
    /// # Errors
    /// As connecting; or a signal came first, and nothing was sent.
    pub(crate) async fn begin(global: &Global, deadline: Duration) -> Result<Change, Failure> {
        let interrupt = Interrupt::watch();
        let client = interrupt.or(connect::connect(global, deadline)).await;
        let client = client.map_err(|_| interrupted(OutcomeFact::NotApplied))??;
        Ok(Change { client, interrupt })
    }

    /// Runs the change.
    ///
    /// # Errors
    /// As the change; or a signal came first.
    pub(crate) async fn run<T>(
        &self,
        change: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        tokio::pin!(change);
        tokio::select! {
            done = &mut change => return Ok(done?),
            () = self.interrupt.wait() => self.client.give_up_changes(),
        }
        // The answer may have been here already.
        change.await.map_err(|error| interrupted(error.outcome))
    }

    /// Asks something after the change was made, so that no failure of this is one of the change.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub(crate) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, String> {
        match self.interrupt.or(question).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(interrupted) => Err(interrupted.message),
        }
    }
}

/// What became of the change when the signal came.
fn interrupted(outcome: OutcomeFact) -> Failure {
    let failure = Failure::interrupted();
    match outcome {
        OutcomeFact::Unknown => failure
            .saying("interrupted; the command was sent, and whether it was applied is unknown")
            .hint("it may have been applied, or may yet be: look before you send it again")
            .fact("outcome", "unknown"),
        OutcomeFact::NotApplied | OutcomeFact::NotAWrite => {
            failure.saying("interrupted; it was not applied, and nothing is under way any more")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn a_signal_says_what_became_of_the_change() {
        for (outcome, fact) in [
            (OutcomeFact::Unknown, Some("unknown")),
            // As every error of that exit code says.
            (OutcomeFact::NotApplied, None),
        ] {
            let failure = interrupted(outcome);
            assert_eq!(failure.exit, Exit::Interrupted);
            let said = failure.facts.get("outcome").and_then(|said| said.as_str());
            assert_eq!(said, fact, "{failure}");
        }
    }
}
