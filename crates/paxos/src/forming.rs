//! A group is formed once, from the incarnations of all its first members.
//!
//! Only the lowest-numbered initial member makes a list. It asks the others whether they are formatted and
//! blank, in two rounds: the second begins when all have answered the first, and all must answer it under
//! the same incarnations and still blank. Blank is left for good by whoever adopts a list, so at the moment
//! between the rounds *every* member named in the list was alive and blank, and no replica alive held
//! another list. A blank replica adopts the first list that names it, makes it durable before its first
//! vote, and never takes another.
//!
//! A list that was made before that moment can only come from somebody who has lost its disk since, late. So
//! whoever says that it is blank says so under a number, and takes a list only from somebody who repeats the
//! newest number it was told: that sender was alive, and held the list, after it was said. Each new round of
//! questions draws new numbers. Hence two lists are never adopted by replicas alive at the same time, unless
//! *every* member lost its disk in between: three blank replicas, one of them wiped early, can't become two
//! groups.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::message::{Form, FormAnswer, FormAsk, Message};
use crate::types::{Incarnation, Member, PersistId, ReplicaId};

/// Where forming stands here.
#[derive(Debug)]
pub(crate) enum Forming {
    /// No list yet.
    Blank(Blank),
    /// Something is on this disk, but no list: it can't be formed again.
    Unformed,
    /// The list is being made durable.
    Adopting {
        members: Vec<Member>,
        persist: PersistId,
        /// By the maker of the list: the number under which each of the others said that it is blank.
        statements: BTreeMap<ReplicaId, u64>,
    },
    /// Voting under the list.
    Formed,
    /// There is a list, and it does not name this incarnation.
    LeftOut,
}

/// A replica that is formatted, and holds nothing.
#[derive(Debug)]
pub(crate) struct Blank {
    /// The last number drawn; no other life of any replica draws the same.
    number: u64,
    /// To whom this replica said that it is blank, and under which number.
    told: BTreeMap<ReplicaId, Told>,
    /// The newest question it answered.
    asked: Option<(Member, u64)>,
    /// What it asks itself, if it is the one that makes the list.
    asking: Asking,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    incarnation: Incarnation,
    statement: u64,
}

#[derive(Debug, Default)]
struct Asking {
    /// The number of this round; 0 before the first.
    round: u64,
    /// Who answered it that it is blank, and under which number.
    answers: BTreeMap<ReplicaId, Told>,
    /// In the second round: who answered the first.
    before: Option<BTreeMap<ReplicaId, Incarnation>>,
}

/// What to do about a message of forming.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Todo {
    Nothing,
    Adopt(Vec<Member>),
}

impl Forming {
    /// `life`: random, and of this life only.
    pub(crate) fn new(blank: bool, life: u64) -> Forming {
        if blank {
            Forming::Blank(Blank {
                number: life,
                told: BTreeMap::new(),
                asked: None,
                asking: Asking::default(),
            })
        } else {
            Forming::Unformed
        }
    }

    /// Whether this replica is the one that makes the list.
    pub(crate) fn makes_the_list(config: &Config) -> bool {
        config.initial_members.iter().min() == Some(&config.id)
    }

    /// The question to repeat to every other initial member, if this replica asks.
    pub(crate) fn question(&mut self, config: &Config) -> Option<Message> {
        let Forming::Blank(blank) = self else {
            return None;
        };
        if !Forming::makes_the_list(config) {
            return None;
        }
        if blank.asking.round == 0 {
            blank.ask_anew(None);
        }
        let round = blank.asking.round;
        Some(Message::FormAsk(FormAsk { round }))
    }

    /// The list, and what each of the others said, once all have answered both rounds.
    pub(crate) fn list(&self, config: &Config) -> Option<(Vec<Member>, BTreeMap<ReplicaId, u64>)> {
        let Forming::Blank(blank) = self else {
            return None;
        };
        if !Forming::makes_the_list(config) {
            return None;
        }
        let asking = &blank.asking;
        let all = others(config).all(|id| asking.answers.contains_key(&id));
        if !all || (asking.before.is_none() && others(config).next().is_some()) {
            return None;
        }
        let me = Member {
            id: config.id,
            incarnation: config.incarnation,
        };
        let mut list: Vec<Member> = asking
            .answers
            .iter()
            .map(|(&id, told)| Member {
                id,
                incarnation: told.incarnation,
            })
            .chain([me])
            .collect();
        list.sort_unstable_by_key(|member| member.id);
        let statements = asking.answers.iter();
        Some((
            list,
            statements.map(|(&id, told)| (id, told.statement)).collect(),
        ))
    }

    /// The answer to a question of the replica that makes the list.
    pub(crate) fn on_ask(&mut self, from: Member, ask: &FormAsk) -> Message {
        let statement = match self {
            Forming::Blank(blank) => Some(blank.tell_asker(from, ask.round)),
            _ => None,
        };
        Message::FormAnswer(FormAnswer {
            asker: from.incarnation,
            round: ask.round,
            blank: statement.is_some(),
            statement: statement.unwrap_or(0),
        })
    }

    /// What a blank replica says to whoever speaks as a member of a group: "give me the list".
    pub(crate) fn answer_to_member(&mut self, from: Member) -> Option<Message> {
        let Forming::Blank(blank) = self else {
            return None;
        };
        Some(Message::FormAnswer(FormAnswer {
            asker: from.incarnation,
            round: 0,
            blank: true,
            statement: blank.tell(from),
        }))
    }

    /// An answer to this replica's question. Says whether the next round is to be asked at once.
    pub(crate) fn on_answer(&mut self, config: &Config, from: Member, answer: &FormAnswer) -> bool {
        let Forming::Blank(blank) = self else {
            return false;
        };
        let asking = &mut blank.asking;
        if answer.asker != config.incarnation
            || answer.round != asking.round
            || asking.round == 0
            || !others(config).any(|id| id == from.id)
        {
            return false;
        }
        let first = asking.before.as_ref();
        let changed = first.is_some_and(|before| before.get(&from.id) != Some(&from.incarnation))
            || asking
                .answers
                .get(&from.id)
                .is_some_and(|told| told.incarnation != from.incarnation);
        if !answer.blank || changed {
            blank.ask_anew(None);
            return false;
        }
        asking.answers.insert(
            from.id,
            Told {
                incarnation: from.incarnation,
                statement: answer.statement,
            },
        );
        let all = others(config).all(|id| asking.answers.contains_key(&id));
        if all && asking.before.is_none() {
            let answered = asking.answers.iter();
            let before = answered.map(|(&id, told)| (id, told.incarnation)).collect();
            blank.ask_anew(Some(before));
            return true;
        }
        false
    }

    pub(crate) fn on_form(&mut self, config: &Config, from: Member, form: Form) -> Todo {
        let Forming::Blank(blank) = self else {
            return Todo::Nothing;
        };
        let me = Member {
            id: config.id,
            incarnation: config.incarnation,
        };
        if !form.members.contains(&from) || !blank.is_fresh(from, form.statement) {
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

impl Blank {
    fn draw(&mut self) -> u64 {
        // 0 stands for none.
        self.number = self.number.wrapping_add(1).max(1);
        self.number
    }

    fn ask_anew(&mut self, before: Option<BTreeMap<ReplicaId, Incarnation>>) {
        self.asking = Asking {
            round: self.draw(),
            answers: BTreeMap::new(),
            before,
        };
    }

    /// A new question makes void whatever was said before it, to anybody.
    fn tell_asker(&mut self, asker: Member, round: u64) -> u64 {
        if self.asked != Some((asker, round)) {
            self.asked = Some((asker, round));
            self.told.clear();
        }
        self.tell(asker)
    }

    fn tell(&mut self, to: Member) -> u64 {
        if let Some(told) = self.told.get(&to.id)
            && told.incarnation == to.incarnation
        {
            return told.statement;
        }
        let statement = self.draw();
        let told = Told {
            incarnation: to.incarnation,
            statement,
        };
        self.told.insert(to.id, told);
        statement
    }

    /// Whether the sender of a list was alive, and had it, after it was told last that this replica is blank
    /// (or asked: a question says so, too).
    fn is_fresh(&self, from: Member, statement: u64) -> bool {
        let told = self.told.get(&from.id);
        statement != 0
            && (statement == self.asking.round
                || told.is_some_and(|told| {
                    told.incarnation == from.incarnation && told.statement == statement
                }))
    }
}

fn others(config: &Config) -> impl Iterator<Item = ReplicaId> + '_ {
    let ids = config.initial_members.iter().copied();
    ids.filter(|&id| id != config.id)
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

    fn member(id: u16, incarnation: u128) -> Member {
        Member {
            id: ReplicaId(id),
            incarnation: Incarnation(incarnation),
        }
    }

    fn ask(forming: &mut Forming, config: &Config) -> FormAsk {
        match forming.question(config) {
            Some(Message::FormAsk(ask)) => ask,
            other => panic!("no question: {other:?}"),
        }
    }

    fn blank_answer(forming: &mut Forming, from: Member, ask: &FormAsk) -> FormAnswer {
        match forming.on_ask(from, ask) {
            Message::FormAnswer(answer) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }

    fn form(members: &[Member], statement: u64) -> Form {
        Form {
            members: members.to_vec(),
            statement,
        }
    }

    #[test]
    fn a_list_is_made_only_when_all_answered_this_incarnation_twice() {
        let config = config(1, 11);
        let [mut one, mut two, mut three] = [1, 2, 3].map(|life| Forming::new(true, life << 32));
        let first = ask(&mut one, &config);
        let answers = [
            (member(2, 22), blank_answer(&mut two, member(1, 11), &first)),
            (
                member(3, 33),
                blank_answer(&mut three, member(1, 11), &first),
            ),
        ];
        let mut to_another = answers[1].1.clone();
        to_another.asker = Incarnation(10);
        assert!(!one.on_answer(&config, answers[0].0, &answers[0].1));
        assert!(!one.on_answer(&config, answers[1].0, &to_another));
        assert!(one.on_answer(&config, answers[1].0, &answers[1].1));
        assert_eq!(one.list(&config), None, "once is not enough");
        // A late answer to the first round is none to the second.
        assert!(!one.on_answer(&config, answers[1].0, &answers[1].1));
        let second = ask(&mut one, &config);
        for (from, forming) in [(member(2, 22), &mut two), (member(3, 33), &mut three)] {
            assert_eq!(one.list(&config), None);
            let answer = blank_answer(forming, member(1, 11), &second);
            assert!(!one.on_answer(&config, from, &answer));
        }
        let (list, statements) = one.list(&config).unwrap();
        assert_eq!(list, [member(1, 11), member(2, 22), member(3, 33)]);
        let list_for_two = form(&list, statements[&ReplicaId(2)]);
        assert!(matches!(
            two.on_form(&super::tests::config(2, 22), member(1, 11), list_for_two),
            Todo::Adopt(_)
        ));
        assert_eq!(Forming::new(false, 1).list(&config), None);
    }

    #[test]
    fn whoever_is_another_or_not_blank_in_the_second_round_begins_it_all_again() {
        let config = config(1, 11);
        for (incarnation, is_blank) in [(34, true), (33, false)] {
            let mut one = Forming::new(true, 1 << 32);
            let first = ask(&mut one, &config);
            let answer = |ask: &FormAsk, blank| FormAnswer {
                asker: Incarnation(11),
                round: ask.round,
                blank,
                statement: 5,
            };
            one.on_answer(&config, member(2, 22), &answer(&first, true));
            assert!(one.on_answer(&config, member(3, 33), &answer(&first, true)));
            let second = ask(&mut one, &config);
            one.on_answer(&config, member(2, 22), &answer(&second, true));
            one.on_answer(&config, member(3, incarnation), &answer(&second, is_blank));
            assert_eq!(one.list(&config), None);
            let third = ask(&mut one, &config);
            assert!(third.round != second.round && third.round != first.round);
            one.on_answer(&config, member(2, 22), &answer(&third, true));
            one.on_answer(&config, member(3, incarnation), &answer(&third, true));
            assert_eq!(one.list(&config), None, "that was the first of two");
        }
    }

    #[test]
    fn a_list_without_this_incarnation_leaves_it_out() {
        let config = config(2, 99);
        let mut forming = Forming::new(true, 1 << 32);
        let Some(Message::FormAnswer(said)) = forming.answer_to_member(member(1, 11)) else {
            panic!("says nothing");
        };
        let list = [member(1, 11), member(2, 22), member(3, 33)];
        let told = form(&list, said.statement);
        assert_eq!(forming.on_form(&config, member(1, 11), told), Todo::Nothing);
        assert!(matches!(forming, Forming::LeftOut));
    }

    #[test]
    fn a_list_that_was_sent_before_the_newest_question_is_void() {
        let config = config(2, 22);
        let list = [member(1, 11), member(2, 22), member(3, 33)];
        let mut forming = Forming::new(true, 1 << 32);
        let old = blank_answer(&mut forming, member(1, 11), &FormAsk { round: 7 });
        let Some(Message::FormAnswer(to_third)) = forming.answer_to_member(member(3, 33)) else {
            panic!("says nothing");
        };
        // Replica 1 lost its disk, and asks under another incarnation.
        blank_answer(&mut forming, member(1, 12), &FormAsk { round: 8 });
        let late = form(&list, old.statement);
        assert_eq!(
            forming.on_form(&config, member(1, 11), late.clone()),
            Todo::Nothing
        );
        // A late question does not bring the old number back.
        blank_answer(&mut forming, member(1, 11), &FormAsk { round: 7 });
        assert_eq!(forming.on_form(&config, member(1, 11), late), Todo::Nothing);
        // Nor does a restart.
        let mut restarted = Forming::new(true, 2 << 32);
        let late = form(&list, old.statement);
        assert_eq!(
            restarted.on_form(&config, member(1, 11), late),
            Todo::Nothing
        );
        // From somebody else, too, only what was sent after the newest question counts.
        assert_eq!(
            forming.on_form(&config, member(3, 33), form(&list, to_third.statement)),
            Todo::Nothing
        );
        let Some(Message::FormAnswer(again)) = forming.answer_to_member(member(3, 33)) else {
            panic!("says nothing");
        };
        assert!(matches!(
            forming.on_form(&config, member(3, 33), form(&list, again.statement)),
            Todo::Adopt(_)
        ));
    }
}
