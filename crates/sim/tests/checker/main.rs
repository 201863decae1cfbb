//! The checker, from outside.
//!
//! | module | shows |
//! |---|---|
//! | `alone` | each rule where no other would notice |
//! | `deletion` | logs that are deleted and made again under their names |
//! | `faults` | a loss, a repeat, a reordering, a stale tail and a timestamp that goes back, each with both who contradict |
//! | `seals` | a log that is sealed in the midst of its appends |
//! | `unversioned` | what must show also where replies carry no versions |
//! | `versions` | what is unknown takes only a version of its time |
//! | `registers` | fences, conditions and cursors, each rule on a history made by hand |
//! | `rules` | each rule is named, with the operations that contradict, on a history made by hand |
//! | `properties` | random legal histories pass, each with a swap, loss, repeat or shift fails |
//! | `referee` | a general linearizability tester says the same of small random histories |
//! | `cost` | the work grows as the history does |

mod alone;
mod cost;
mod deletion;
mod faults;
mod generate;
mod hand;
mod properties;
mod referee;
mod registers;
mod rng;
mod rules;
mod seals;
mod unversioned;
mod versions;
