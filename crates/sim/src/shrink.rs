//! From a plan that fails to a smaller one that fails alike: delta debugging (Zeller and Hildebrandt, *Simplifying
//! and isolating failure-inducing input*, 2002) over the plan's faults, then over its sizes.

use crate::plan::{Ending, Fault, MS, Plan, SECOND, What};
use crate::run::{Failure, run_plan};
use crate::trace::Detail;

/// What came of shrinking.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest plan that was found.
    pub plan: Plan,
    /// How it fails: by the same rule as the first.
    pub failure: Failure,
    /// Runs that this took.
    pub runs: u64,
}

/// Makes a plan smaller that fails, in at most `runs_max` runs; `smaller` is told of every step. None if it does
/// not fail.
pub fn shrink(plan: &Plan, runs_max: u64, smaller: impl FnMut(&Plan)) -> Option<Shrunk> {
    shrink_by(plan, runs_max, smaller, |plan| {
        run_plan(plan.clone(), Detail::Nothing).failure
    })
}

fn shrink_by(
    plan: &Plan,
    runs_max: u64,
    smaller: impl FnMut(&Plan),
    fails: impl FnMut(&Plan) -> Option<Failure>,
) -> Option<Shrunk> {
    let mut search = Search {
        fails,
        smaller,
        runs_left: runs_max.max(1),
        failure: None,
        plan: plan.clone(),
    };
    if !search.fails_alike(plan) {
        return None;
    }
    loop {
        let before = search.plan.clone();
        search.drop_faults();
        search.simplify();
        search.shorten();
        if search.plan == before || search.runs_left == 0 {
            break;
        }
    }
    let failure = search.failure?;
    Some(Shrunk {
        plan: search.plan,
        failure,
        runs: runs_max.max(1) - search.runs_left,
    })
}

struct Search<F, S> {
    fails: F,
    smaller: S,
    runs_left: u64,
    failure: Option<Failure>,
    plan: Plan,
}

impl<F: FnMut(&Plan) -> Option<Failure>, S: FnMut(&Plan)> Search<F, S> {
    fn fails_alike(&mut self, plan: &Plan) -> bool {
        if self.runs_left == 0 {
            return false;
        }
        self.runs_left -= 1;
        let Some(failure) = (self.fails)(plan) else {
            return false;
        };
        let alike = self
            .failure
            .as_ref()
            .is_none_or(|first| first.rule == failure.rule);
        if alike {
            self.failure = Some(failure);
        }
        alike
    }

    /// Takes a change that leaves the plan one that can be run, and failing. Whether it did.
    fn try_change(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut plan = self.plan.clone();
        change(&mut plan);
        if plan == self.plan
            || Plan::from_json(&plan.to_json()).is_err()
            || !self.fails_alike(&plan)
        {
            return false;
        }
        self.plan = plan;
        (self.smaller)(&self.plan);
        true
    }

    /// Halves first, then ever smaller parts.
    fn drop_faults(&mut self) {
        let mut part = self.plan.faults.len();
        while part > 0 {
            let mut start = 0;
            while start < self.plan.faults.len() {
                let end = (start + part).min(self.plan.faults.len());
                if !self.try_change(|plan| drop(plan.faults.drain(start..end))) {
                    start = end;
                }
            }
            part /= 2;
        }
    }

    fn simplify(&mut self) {
        self.try_change(|plan| plan.ending = Ending::Heal);
        for replicas in [1, 3] {
            if replicas < self.plan.replicas {
                self.try_change(|plan| fewer_replicas(plan, replicas));
            }
        }
        while self.plan.clients > 1 && self.try_change(|plan| fewer_clients(plan, plan.clients / 2))
        {
        }
        self.try_change(|plan| plan.logs = 1);
        self.try_change(|plan| plan.loss_percent = 0);
        self.try_change(|plan| plan.repeat_percent = 0);
        self.try_change(|plan| plan.loose = false);
        self.try_change(|plan| plan.seals = false);
        self.try_change(|plan| plan.fences = false);
        self.try_change(|plan| plan.conditional_percent = 0);
        self.try_change(|plan| plan.cursors = false);
        self.try_change(|plan| plan.retention = false);
        self.try_change(|plan| plan.deletes = false);
        self.try_change(|plan| plan.drift_ppm = 0);
        self.try_change(|plan| plan.payload_max = 1);
        self.try_change(|plan| plan.window = 1);
        while self.plan.append_mean < SECOND && self.try_change(|plan| plan.append_mean *= 2) {}
    }

    fn shorten(&mut self) {
        let last = self.plan.faults.last().map_or(0, |fault| fault.at);
        self.try_change(|plan| plan.faults_until = last + SECOND);
        while self.plan.faults_until > last + MS
            && self.try_change(|plan| plan.faults_until = last + (plan.faults_until - last) / 2)
        {
        }
        for number in 0..self.plan.faults.len() {
            while self.try_change(|plan| shorter(&mut plan.faults[number])) {}
        }
        // All that happens, sooner.
        while self.try_change(|plan| {
            let first = plan.faults.first().map_or(0, |fault| fault.at) / 2;
            for fault in &mut plan.faults {
                fault.at -= first;
            }
            plan.faults_until -= first.min(plan.faults_until);
        }) {}
    }
}

fn shorter(fault: &mut Fault) {
    let half = |time: &mut u64| {
        if *time > MS {
            *time /= 2;
        }
    };
    match &mut fault.what {
        What::Cut { lasts, .. }
        | What::Clog { lasts, .. }
        | What::Slow { lasts, .. }
        | What::Pause { lasts, .. }
        | What::SyncStall { lasts, .. }
        | What::DiskFull { lasts, .. } => half(lasts),
        What::Crash { down, .. }
        | What::Rolling { down, .. }
        | What::SyncFail { down, .. }
        | What::Wipe { down, .. }
        | What::WipeWithList { down, .. }
        | What::HandOver { down, .. } => half(down),
        What::CrashAll { down, .. } => down.iter_mut().for_each(half),
        What::Flap { times, .. } => *times = (*times).div_ceil(2),
        What::ClockStep { by, .. } => *by /= 2,
        What::BreakLink { .. }
        | What::AtRest { .. }
        | What::ClientReset { .. }
        | What::ClientDies { .. } => {}
    }
}

fn fewer_replicas(plan: &mut Plan, replicas: u16) {
    plan.replicas = replicas;
    let there = |id: u16| id <= replicas;
    plan.victims.retain(|&id| there(id));
    plan.victims.truncate(if plan.atlas {
        usize::from(replicas - 1) / 2
    } else {
        usize::MAX
    });
    let victims = plan.victims.clone();
    plan.faults.retain_mut(|fault| {
        match &mut fault.what {
            What::Cut { directions, .. } | What::Flap { directions, .. } => {
                directions.retain(|&(a, b)| there(a) && there(b));
                if directions.is_empty() {
                    return false;
                }
            }
            What::CrashAll { down, .. } => down.truncate(usize::from(replicas)),
            _ => {}
        }
        let ruined = fault.what.ruins();
        let (named, _) = fault.what.names();
        named.into_iter().all(there) && ruined.is_none_or(|id| victims.contains(&id))
    });
    plan.ending = match &plan.ending {
        Ending::Core {
            also_cut, outside, ..
        } => Ending::Core {
            outside: *outside,
            hub: 1,
            others: (2..=replicas / 2 + 1).collect(),
            also_cut: also_cut
                .iter()
                .copied()
                .filter(|&(a, b)| there(a) && there(b))
                .collect(),
        },
        Ending::LastMajority { .. } => Ending::LastMajority {
            away: (1..=(replicas - 1) / 2).collect(),
        },
        Ending::Heal => Ending::Heal,
    };
}

fn fewer_clients(plan: &mut Plan, clients: u64) {
    plan.clients = clients;
    let there = |fault: &Fault| fault.what.names().1.is_none_or(|client| client < clients);
    plan.faults.retain(there);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails where replica 2 is paused at some time after it crashed, in a loose network.
    fn fails(plan: &Plan) -> Option<Failure> {
        let crash = plan
            .faults
            .iter()
            .position(|fault| matches!(fault.what, What::Crash { replica: 2, .. }))?;
        let pause = |fault: &Fault| matches!(fault.what, What::Pause { replica: 2, .. });
        let both = plan.loose && plan.faults[crash..].iter().any(pause);
        both.then(|| Failure {
            rule: "test".into(),
            what: format!("{} faults", plan.faults.len()),
        })
    }

    #[test]
    fn what_is_left_is_what_it_takes() {
        let found = (0..10_000)
            .map(Plan::draw)
            .find(|plan| plan.faults.len() > 20 && fails(plan).is_some());
        let plan = found.expect("such a seed");
        let mut steps = 0;
        let shrunk = shrink_by(&plan, 1_000, |_| steps += 1, fails).expect("it fails");
        assert_eq!(shrunk.plan.faults.len(), 2, "{:?}", shrunk.plan.faults);
        assert_eq!(shrunk.failure.what, "2 faults");
        assert_eq!((shrunk.plan.clients, shrunk.plan.logs), (1, 1));
        assert!(shrunk.plan.loose && shrunk.plan.loss_percent == 0);
        assert!(steps > 5 && shrunk.runs > steps);
        assert_eq!(
            Plan::from_json(&shrunk.plan.to_json()).unwrap(),
            shrunk.plan
        );
    }

    #[test]
    fn what_does_not_fail_is_not_shrunk_and_runs_are_bounded() {
        assert!(shrink_by(&Plan::quiet(1, 3), 100, |_| {}, |_| None).is_none());
        let mut runs = 0;
        let always = |_: &Plan| {
            runs += 1;
            Some(Failure {
                rule: "test".into(),
                what: String::new(),
            })
        };
        assert!(shrink_by(&Plan::draw(7), 5, |_| {}, always).is_some());
        assert_eq!(runs, 5);
    }
}
