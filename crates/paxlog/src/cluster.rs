//! `paxlog cluster status`: every replica of the profile, as it sees itself.

use std::time::Duration;

use clap::{Args, Subcommand};
use paxlog_client::{Client, RoleStatus, Status};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::connect;
use crate::failure::Failure;
use crate::output::{Format, Stdout};
use crate::time;

#[derive(Subcommand)]
pub(crate) enum ClusterCommand {
    /// Ask every replica how it is.
    Status(StatusArgs),
}

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog cluster status
  paxlog cluster status --output json | jq -r 'select(.role == \"leader\") | .replica'

Each replica answers with how it is when it is asked, and says of each other one that is out why, as far as it knows.

Exits with 3 if no replica answers, or none of them leads.")]
pub(crate) struct StatusArgs {
    /// How long a replica may take to answer.
    #[arg(long, default_value = "3s", value_parser = time::parse_duration, value_name = "DURATION")]
    deadline: Duration,
}

pub(crate) async fn cluster(global: &Global, command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Status(args) => status(global, args).await,
    }
}

async fn status(global: &Global, args: StatusArgs) -> Result<(), Failure> {
    let client = connect::connect(global, args.deadline).await?;
    let mut out = Stdout::new();
    let (mut answered, mut led) = (0, false);
    let asked: Vec<_> = client
        .servers()
        .iter()
        .map(|server| {
            let (client, server) = (client.clone(), server.clone());
            tokio::spawn(async move { ask(&client, server).await })
        })
        .collect();
    for answer in asked {
        let (server, answer) = answer
            .await
            .map_err(|error| Failure::unavailable(format!("a question was lost: {error}")))?;
        match answer {
            Ok(status) => {
                answered += 1;
                // One without a majority leads nobody.
                led |= status.role == RoleStatus::Leader && status.ready;
                match global.output {
                    Format::Json => out.json(&to_json(&server, &status))?,
                    Format::Text => out.line(&to_text(&server, &status))?,
                }
            }
            Err(error) => match global.output {
                Format::Json => out.json(&json!({
                    "server": server,
                    "up": false,
                    "error": {"code": error.code.name(), "message": error.message},
                }))?,
                Format::Text => out.line(&format!("{server}  down: {}", error.message))?,
            },
        }
    }
    out.flush()?;
    match (answered, led) {
        (0, _) => Err(Failure::unavailable("no replica answers")
            .hint("are they running, and is this the right profile?")),
        (_, false) => Err(Failure::unavailable(
            "no replica that answers leads: there is no quorum, or an election is under way",
        )),
        _ => Ok(()),
    }
}

async fn ask(client: &Client, server: String) -> (String, Result<Status, paxlog_client::Error>) {
    let answer = client.status(&server).await;
    (server, answer)
}

fn role(role: RoleStatus) -> &'static str {
    match role {
        RoleStatus::Follower => "follower",
        RoleStatus::Candidate => "candidate",
        RoleStatus::Leader => "leader",
    }
}

fn to_json(server: &str, status: &Status) -> Value {
    json!({
        "server": server,
        "up": true,
        "replica": status.replica,
        "cluster": format!("{:032x}", status.cluster),
        "incarnation": format!("{:032x}", status.incarnation),
        "program": status.program,
        "role": role(status.role),
        "ready": status.ready,
        "leader": status.leader.as_ref().map(|l| l.replica),
        "ballot": status.ballot.to_string(),
        "chosen_index": status.chosen_index,
        "chosen_prefix": status.chosen_prefix,
        "applied": status.applied,
        "standing": status.standing,
        "disk": status.disk,
        "wal_bytes": status.wal_bytes,
        "logs": status.logs,
        "members": status.members.iter().map(|m| json!({
            "replica": m.replica,
            "addresses": m.addresses,
            "linked": m.linked,
            "lag_slots": m.lag_slots,
            "round_trip_us": m.round_trip_us,
            "why": m.why,
        })).collect::<Vec<_>>(),
    })
}

fn to_text(server: &str, status: &Status) -> String {
    let mut text = format!(
        "{server}  replica {}  {}{}  applied {}  {} {}  log {}",
        status.replica,
        role(status.role),
        if status.ready { "" } else { ", not ready" },
        status.applied,
        status.logs,
        if status.logs == 1 { "log" } else { "logs" },
        time::human_bytes(status.wal_bytes),
    );
    for member in status
        .members
        .iter()
        .filter(|m| m.replica != status.replica)
    {
        let mut facts = Vec::new();
        if let Some(lag) = member.lag_slots.filter(|lag| *lag > 0) {
            facts.push(format!("{} slots behind", time::thousands(lag)));
        }
        if let Some(us) = member.round_trip_us {
            facts.push(format!(
                "round trip {}",
                time::human(Duration::from_micros(us))
            ));
        }
        match &member.why {
            Some(why) => facts.push(why.clone()),
            None if !member.linked => facts.push("no link".to_owned()),
            None => {}
        }
        if !facts.is_empty() {
            text.push_str(&format!(
                "\n    to {}: {}",
                member.replica,
                facts.join(", ")
            ));
        }
    }
    for sentence in [&status.standing, &status.disk] {
        if !sentence.is_empty() {
            text.push_str(&format!("\n    {sentence}"));
        }
    }
    text
}
