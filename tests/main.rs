//! Whole program, from outside: real `paxlog` processes on free ports, in temporary directories.
//!
//! | module | shows |
//! |---|---|
//! | `roundtrip` | what went in comes out, byte for byte |
//! | `compression` | compressed batches are shorter on the log and the same to readers; bad ones end reads clearly |
//! | `tail` | `tail -f` hears of records at once, and goes on over a kill -9 of the leader |
//! | `kills` | kill -9 of random replicas under load: nothing acknowledged is lost, moved or repeated |
//! | `majority` | two or all three replicas killed; how appends end, and that progress resumes by itself |
//! | `durable` | no receipt is there before the syncs of a majority have returned: told by the kernel |
//! | `examples` | the examples of the client's documentation, each against a real cluster |
//! | `exactly_once` | one log transformed into another, over kill -9 of who does it: nothing twice, nothing missing |
//! | `races` | fences and expected tails raced for: nothing under a superseded fence, one winner a tail |
//! | `unknown` | appends whose outcome is unknown, and how their producer's name settles it |
//! | `times` | reads by time: exact, in memory and in cold segments, after trims and restarts |
//! | `retention` | records go by age and by bytes, what is to be kept stays, disk space comes back |
//! | `fair` | rates, and that who floods the leader keeps nobody else waiting |
//! | `failover` | how long appends pause when the leader is killed |
//! | `wiped` | a replica that lost its directory does not vote |
//! | `bad_input` | wrong files, flags, certificates and bytes are refused, and the cluster serves on |
//! | `simulator` | `paxlog sim`: runs from seeds and plans, shrinking, what is refused |
//! | `cli` | exit codes, results, errors in text and JSON |
//! | `codes` | every error code there is: how it comes about, what it promises, and that it is so |
//! | `table` | every verb × good and wrong input, no leader here, a leader lost midway, a deadline, a signal |
//! | `verbs` | every command there is: its JSON, its errors, its help; none can be forgotten |
//! | `pipes` | pipes that close, signals, streams that cannot be written: nothing lost, nothing left behind |
//! | `terminal` | colours and progress: on a terminal that wants them, nowhere else |
//! | `manual` | completions and man pages, as shells and formatters take them |
//! | `observe` | metrics, health and status; the dashboards' queries |
//! | `interop` | a client in Python, written from `docs/protocol.md` alone, does everything that page says |
//!
//! Nothing here asserts how fast something is. Waits end as soon as what they wait for is there, and fail after
//! [`support::LIVENESS`], which is meant for a machine that has other things to do.

mod bad_input;
mod cli;
mod codes;
mod compression;
mod durable;
mod exactly_once;
mod examples;
mod failover;
mod fair;
mod interop;
mod kills;
mod majority;
mod manual;
mod observe;
mod pipes;
mod races;
mod retention;
mod roundtrip;
mod simulator;
mod support;
mod table;
mod tail;
mod terminal;
mod times;
mod unknown;
mod verbs;
mod wiped;
