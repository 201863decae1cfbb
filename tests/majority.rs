//! Without a majority: how appends end, and that nothing hangs; and with one again.

use std::time::{Duration, Instant};

use paxlog_client::{
    Appender, AppenderOptions, Code, CreateOptions, Error, OutcomeFact, Receipt, Record,
};
use paxlog_sim::history::OpId;

use crate::support::load::{Scribe, judge};
use crate::support::{Cluster, LIVENESS, block_on, get, read_at, until};

const DEADLINE: Duration = Duration::from_secs(2);
/// What an append may take longer than its deadline on a machine that is busy.
const LATE: Duration = Duration::from_secs(20);
const LOG: &str = "lonely";

#[test]
fn without_a_majority_appends_end_in_time_and_say_what_is_known_and_one_replica_back_is_enough() {
    let mut cluster = Cluster::started();
    let profile = cluster.profile();
    block_on(async {
        let client = cluster.client().await.with_deadline(DEADLINE);
        let options = AppenderOptions {
            deadline: DEADLINE,
            ..AppenderOptions::default()
        };
        let scribe = Scribe::new();
        let first = client.appender(LOG, options.clone()).await.expect("opened");
        let second = client.appender(LOG, options.clone()).await.expect("opened");
        let acknowledged = Pending::begin(&scribe, &first, 1, "acknowledged").await;
        acknowledged.end(&scribe).await.expect("acknowledged");

        let leader = cluster.leader();
        let others: Vec<u16> = (1..=3).filter(|id| *id != leader).collect();
        // Records of one program that stand, and a later one that nobody answers for.
        let mut partly = cluster
            .paxlog(&["append", "partly", "-v", "--deadline", "2s"])
            .args(&["--output", "json"])
            .start();
        partly.write(b"stands\n");
        partly.line();
        cluster.kill_all(&others);
        partly.write(b"unknown\n");
        // The leader does not know yet: it proposes these.
        let begin = Instant::now();
        let mut proposed = Vec::new();
        for number in 0..5 {
            let text = format!("proposed {number}");
            proposed.push(Pending::begin(&scribe, &first, 1, &text).await);
        }
        let mut ends = Vec::new();
        for pending in proposed {
            ends.push(
                pending
                    .end(&scribe)
                    .await
                    .expect_err("there is no majority"),
            );
        }
        let output = partly.end_after_input().code(4);
        let error = output.error_beside_results();
        assert_eq!(error["code"], "OutcomeUnknown", "{error}");
        assert_eq!(
            (&error["retry"], &error["outcome"]),
            (&"now".into(), &"unknown".into()),
            "{error}"
        );
        assert_eq!(
            (&error["records"], &error["unknown"]),
            (&1.into(), &1.into()),
            "{error}"
        );
        assert!(begin.elapsed() < DEADLINE + LATE, "{:?}", begin.elapsed());
        println!("proposed, after {:?}: {}", begin.elapsed(), ends[0]);
        for error in &ends {
            assert_eq!(error.outcome, OutcomeFact::Unknown, "{error}");
            assert_eq!(error.code, Code::OutcomeUnknown, "{error}");
            assert_eq!(error.exit_code(), 4);
        }

        // By now it knows that it leads nobody.
        let metrics = cluster.place(leader).metrics;
        let sentence = until("the leader says that it has no majority", || {
            let (code, sentence) = get(metrics, "/readyz").ok()?;
            (code == 503).then_some(sentence)
        });
        assert!(sentence.contains("majority"), "{sentence}");
        let begin = Instant::now();
        let pending = Pending::begin(&scribe, &second, 2, "refused").await;
        let error = pending
            .end(&scribe)
            .await
            .expect_err("there is no majority");
        assert!(begin.elapsed() < DEADLINE + LATE, "{:?}", begin.elapsed());
        println!("after that, after {:?}: {error}", begin.elapsed());
        not_applied(&error);
        // Whatever else needs a majority ends too.
        not_applied(
            &client
                .create_log("new", CreateOptions::default())
                .await
                .expect_err("no"),
        );
        let asked = client.check_tail(LOG, Default::default()).await;
        assert_eq!(asked.expect_err("nobody leads").exit_code(), 3);
        let opened = client.appender(LOG, options).await;
        not_applied(&opened.expect_err("nobody leads"));
        // What is not kept from a client that can do without: a read of what was applied.
        let read = read_at(&profile, cluster.place(leader).clients, LOG).await;
        assert_eq!(read.len(), 1);

        // And from outside.
        let output = cluster
            .paxlog(&[
                "append",
                LOG,
                "-m",
                "refused",
                "--deadline",
                "1s",
                "--output",
                "json",
            ])
            .run()
            .code(3);
        let error = output.error_beside_results();
        assert_eq!(error["outcome"], "not_applied", "{error}");
        assert!(error["code"].is_string(), "{error}");
        assert!(error["retry"].is_string(), "{error}");
        // Every server is accounted for, and so are the records.
        let output = cluster
            .paxlog(&["append", LOG, "-m", "refused", "--deadline", "3s"])
            .run()
            .code(3);
        println!("to a person: {}", output.stderr);
        let mut words = vec!["no answer", "majority", "nothing of it was applied"];
        let servers: Vec<String> = cluster
            .places
            .iter()
            .map(|p| p.clients.to_string())
            .collect();
        words.extend(servers.iter().map(String::as_str));
        output.says(&words);
        let output = cluster.paxlog(&["cluster", "status"]).run().code(3);
        assert!(output.text().contains("down: "), "{}", output.text());

        // One comes back, and nobody does anything else.
        let patient = client.clone().with_deadline(LIVENESS);
        cluster.start(others[0]);
        let back = Instant::now();
        let again = scribe.append(LOG, 3, &record("again"));
        let applied = patient.append(LOG, record("again")).await;
        scribe.appended(again, &applied);
        applied.expect("applied");
        println!(
            "appends went on {:?} after one was started again",
            back.elapsed()
        );
        // The old appenders too.
        let pending = Pending::begin(&scribe, &second, 2, "by the second").await;
        pending.end(&scribe).await.expect("applied");
        scribe.check_tail(&patient, LOG).await;
        cluster.start(others[1]);
        cluster.wait_all_ready();
        cluster.wait_caught_up();
        let settled = scribe.seal(&patient, LOG).await;
        client.close().await;

        cluster.wait_caught_up();
        let mut logs = Vec::new();
        for id in 1..=3 {
            logs.push(read_at(&profile, cluster.place(id).clients, LOG).await);
        }
        // Those that programs were refused from outside are not in the history: nobody may find them.
        let tally = judge(&scribe.finish(settled, &logs));
        println!("{tally}");
        assert_eq!(
            (tally.acknowledged, tally.not_applied, tally.unknown),
            (3, 1, 5)
        );
    });
    cluster.finish();
}

/// An append on its way, and its place in the history.
struct Pending(OpId, paxlog_client::Pending);

impl Pending {
    async fn begin(scribe: &Scribe, appender: &Appender, name: u32, text: &str) -> Pending {
        let id = scribe.append(LOG, name, &record(text));
        Pending(id, appender.append(record(text)).await.expect("taken"))
    }

    async fn end(self, scribe: &Scribe) -> Result<Receipt, Error> {
        let result = self.1.await;
        scribe.appended(self.0, &result);
        result
    }
}

fn record(text: &str) -> Vec<Record> {
    vec![Record::new(text.to_owned())]
}

fn not_applied(error: &Error) {
    assert_eq!(error.outcome, OutcomeFact::NotApplied, "{error}");
    assert_eq!(error.exit_code(), 3, "{error}");
    assert!(
        matches!(
            error.code,
            Code::Unavailable | Code::Electing | Code::NotLeader | Code::DeadlineExceeded
        ),
        "{error}"
    );
}
