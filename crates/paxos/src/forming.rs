//! A group is formed once, from the incarnations of all its first members.
//!
//! Only the lowest-numbered initial member makes a list, and only when *every* initial member, itself
//! included, has told *this incarnation* of it, in this life, that it is formatted and blank. A blank replica
//! adopts the first list that names it, makes it durable before its first vote, and never takes another. So
//! three blank replicas, one of them wiped early, can't become two groups: whoever has a list is not blank,
//! and a list without a majority of adopters elects nobody.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::message::{Form, FormAnswer, FormAsk, Message};
use crate::types::{Incarnation, Member, PersistId, ReplicaId};

/// Where forming stands here.
#[derive(Debug)]
pub(crate) enum Forming {
    /// No list yet.
    Blank {
        /// As the lowest-numbered: who answered that it is blank.
        answers: BTreeMap<ReplicaId, Incarnation>,
        /// The incarnation to which this replica said it is blank: a list made by an earlier incarnation of
        /// the same replica is void, it was made before that one lost its disk.
        told: Option<(ReplicaId, Incarnation)>,
    },
    /// Something is on this disk, but no list: it can't be formed again.
    Unformed,
    /// The list is being made durable.
    Adopting {
        members: Vec<Member>,
        persist: PersistId,
    },
    /// Voting under the list (or not, if it is not in it).
    Formed,
    /// There is a list, and it does not name this incarnation.
    LeftOut,
}

/// What to do about a message of forming.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Todo {
    Nothing,
    Adopt(Vec<Member>),
}

impl Forming {
    pub(crate) fn new(blank: bool) -> Forming {
        if blank {
            Forming::Blank {
                answers: BTreeMap::new(),
                told: None,
            }
        } else {
            Forming::Unformed
        }
    }

    /// Whether this replica is the one that makes the list.
    pub(crate) fn makes_the_list(config: &Config) -> bool {
        config.initial_members.iter().min() == Some(&config.id)
    }

    /// The question to repeat to every initial member, if this replica asks.
    pub(crate) fn question(&self, config: &Config) -> Option<Message> {
        let asks = matches!(self, Forming::Blank { .. }) && Forming::makes_the_list(config);
        asks.then_some(Message::FormAsk(FormAsk {}))
    }

    /// The list, once everybody has answered.
    pub(crate) fn list(&self, config: &Config) -> Option<Vec<Member>> {
        let Forming::Blank { answers, .. } = self else {
            return None;
        };
        if !Forming::makes_the_list(config) {
            return None;
        }
        let mut ids = config.initial_members.clone();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter()
            .map(|id| {
                let incarnation = if id == config.id {
                    Some(config.incarnation)
                } else {
                    answers.get(&id).copied()
                };
                incarnation.map(|incarnation| Member { id, incarnation })
            })
            .collect()
    }

    pub(crate) fn on_ask(&mut self, from: ReplicaId, incarnation: Incarnation) -> Message {
        let blank = match self {
            Forming::Blank { told, .. } => {
                *told = Some((from, incarnation));
                true
            }
            _ => false,
        };
        Message::FormAnswer(FormAnswer {
            asker: incarnation,
            blank,
        })
    }

    /// What a replica without a list says to a member, whoever it is: "give me the list".
    pub(crate) fn answer_to_member(&mut self, from: ReplicaId, member: Incarnation) -> Message {
        self.on_ask(from, member)
    }

    /// An answer to this replica's question.
    pub(crate) fn on_answer(
        &mut self,
        config: &Config,
        from: ReplicaId,
        incarnation: Incarnation,
        answer: &FormAnswer,
    ) {
        if let Forming::Blank { answers, .. } = self
            && answer.asker == config.incarnation
            && config.initial_members.contains(&from)
        {
            if answer.blank {
                answers.insert(from, incarnation);
            } else {
                answers.remove(&from);
            }
        }
    }

    pub(crate) fn on_form(
        &mut self,
        config: &Config,
        from: ReplicaId,
        incarnation: Incarnation,
        form: Form,
    ) -> Todo {
        let Forming::Blank { told, .. } = self else {
            return Todo::Nothing;
        };
        let sender = Member {
            id: from,
            incarnation,
        };
        let me = Member {
            id: config.id,
            incarnation: config.incarnation,
        };
        if !form.members.contains(&sender) {
            return Todo::Nothing;
        }
        if let Some((asker, asked_by)) = *told
            && form
                .members
                .iter()
                .any(|m| m.id == asker && m.incarnation != asked_by)
            && from == asker
        {
            return Todo::Nothing;
        }
        if form.members.contains(&me) {
            Todo::Adopt(form.members)
        } else {
            *self = Forming::LeftOut;
            Todo::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ClusterId, GroupId};

    fn config(id: u16, incarnation: u128) -> Config {
        let ids = (1..=3).map(ReplicaId).collect();
        Config::new(
            ClusterId(1),
            GroupId(0),
            ReplicaId(id),
            Incarnation(incarnation),
            ids,
            1,
        )
    }

    fn blank_to(incarnation: u128) -> FormAnswer {
        FormAnswer {
            asker: Incarnation(incarnation),
            blank: true,
        }
    }

    #[test]
    fn a_list_is_made_only_when_all_answered_this_incarnation() {
        let config = config(1, 11);
        let mut forming = Forming::new(true);
        forming.on_answer(&config, ReplicaId(2), Incarnation(22), &blank_to(11));
        assert_eq!(forming.list(&config), None);
        forming.on_answer(&config, ReplicaId(3), Incarnation(33), &blank_to(10));
        assert_eq!(forming.list(&config), None);
        forming.on_answer(&config, ReplicaId(3), Incarnation(33), &blank_to(11));
        let list = forming.list(&config).unwrap();
        assert_eq!(
            list.iter().map(|m| m.incarnation.0).collect::<Vec<_>>(),
            [11, 22, 33]
        );
        assert_eq!(Forming::new(false).list(&config), None);
    }

    #[test]
    fn a_list_without_this_incarnation_leaves_it_out() {
        let config = config(2, 99);
        let members = [(1, 11), (2, 22), (3, 33)].map(|(id, incarnation)| Member {
            id: ReplicaId(id),
            incarnation: Incarnation(incarnation),
        });
        let form = Form {
            members: members.to_vec(),
        };
        let mut forming = Forming::new(true);
        assert_eq!(
            forming.on_form(&config, ReplicaId(1), Incarnation(11), form),
            Todo::Nothing
        );
        assert!(matches!(forming, Forming::LeftOut));
    }

    #[test]
    fn a_list_by_an_asker_that_was_wiped_since_is_void() {
        let config = config(2, 22);
        let members = [(1, 11), (2, 22), (3, 33)].map(|(id, incarnation)| Member {
            id: ReplicaId(id),
            incarnation: Incarnation(incarnation),
        });
        let form = Form {
            members: members.to_vec(),
        };
        let mut forming = Forming::new(true);
        forming.on_ask(ReplicaId(1), Incarnation(12));
        assert_eq!(
            forming.on_form(&config, ReplicaId(1), Incarnation(11), form.clone()),
            Todo::Nothing
        );
        // From somebody who has it durable it is a list.
        assert!(matches!(
            forming.on_form(&config, ReplicaId(3), Incarnation(33), form),
            Todo::Adopt(_)
        ));
    }
}
