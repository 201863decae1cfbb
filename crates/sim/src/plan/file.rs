//! Plans as files: JSON, and what must hold of them.

use crate::plan::{COUNT_MAX, Ending, Plan, SECOND, TIME_MAX};

/// Why a file is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It is no JSON of this form.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It cannot be run.
    #[error("{0}")]
    Wrong(String),
}

fn wrong<T>(what: impl Into<String>) -> Result<T, PlanError> {
    Err(PlanError::Wrong(what.into()))
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// [`PlanError`]: it is no JSON, has an unknown field, or asks for what cannot be.
    pub fn from_json(text: &str) -> Result<Plan, PlanError> {
        let plan: Plan = serde_json::from_str(text)?;
        plan.validate()?;
        Ok(plan)
    }

    /// As a file.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self)
            .expect("our own types have text keys and always serialize")
    }

    /// Whether it can be run.
    fn validate(&self) -> Result<(), PlanError> {
        if self.version != Plan::VERSION {
            return wrong(format!(
                "paxlog_plan is {}, and this release knows {}",
                self.version,
                Plan::VERSION
            ));
        }
        if ![1, 3, 5].contains(&self.replicas) {
            return wrong(format!("replicas is {}: 1, 3 or 5", self.replicas));
        }
        let within = |name: &str, value: u64, low: u64, high: u64| match value {
            value if value < low || value > high => {
                wrong(format!("{name} is {value}: from {low} to {high}"))
            }
            _ => Ok(()),
        };
        within("clients", self.clients, 1, 1_000)?;
        within("logs", self.logs, 1, 1_000)?;
        within("loss_percent", self.loss_percent, 0, 99)?;
        within("repeat_percent", self.repeat_percent, 0, 99)?;
        for (name, time) in [
            ("delay_min", self.delay_min),
            ("delay_mean", self.delay_mean),
            ("sync_mean", self.sync_mean),
            ("write_mean", self.write_mean),
        ] {
            within(name, time, 0, SECOND)?;
        }
        within("append_mean", self.append_mean, 1_000, TIME_MAX)?;
        within("deadline", self.deadline, 1_000, TIME_MAX)?;
        within("drift_ppm", self.drift_ppm, 0, 500_000)?;
        within("segment_bytes", self.segment_bytes, 64 << 10, 64 << 20)?;
        if !self.segment_bytes.is_multiple_of(4096) {
            return wrong("segment_bytes is no multiple of 4096");
        }
        within(
            "value_bytes_target",
            self.value_bytes_target as u64,
            1,
            16 << 10,
        )?;
        within("slots_in_flight_max", self.slots_in_flight_max, 1, 1_000)?;
        within("window_bytes_max", self.window_bytes_max, 1, 1 << 30)?;
        within("hasty_percent", self.hasty_percent, 0, 100)?;
        within("watchers", self.watchers, 0, 100)?;
        within("compressed_percent", self.compressed_percent, 0, 100)?;
        within("payload_max", self.payload_max, 1, 2_000)?;
        within("window", self.window, 1, 10_000)?;
        within("faults_until", self.faults_until, 0, TIME_MAX)?;
        self.named("victims", &self.victims)?;
        let minority = usize::from(self.replicas - 1) / 2;
        if self.atlas && self.victims.len() > minority {
            return wrong(format!(
                "{} victims of {} replicas are no minority, and the atlas is to hold",
                self.victims.len(),
                self.replicas
            ));
        }
        for (i, fault) in self.faults.iter().enumerate() {
            let name = format!("fault {i} ({})", fault.what);
            within(&format!("{name}: at"), fault.at, 0, TIME_MAX)?;
            for (field, time) in fault.what.times() {
                within(&format!("{name}: {field}"), time, 0, TIME_MAX)?;
            }
            if let Some((field, count)) = fault.what.count() {
                within(&format!("{name}: {field}"), count, 0, COUNT_MAX)?;
            }
            let (replicas, client) = fault.what.names();
            self.named(&name, &replicas)?;
            if client.is_some_and(|client| client >= self.clients) {
                return wrong(format!("{name}: there are {} clients", self.clients));
            }
            if let Some(ruined) = fault.what.ruins()
                && !self.victims.contains(&ruined)
            {
                return wrong(format!("{name}: replica {ruined} is none of the victims"));
            }
            if let crate::plan::What::CrashAll { down, .. } = &fault.what
                && down.len() != usize::from(self.replicas)
            {
                return wrong(format!(
                    "{name}: {} times for {} replicas",
                    down.len(),
                    self.replicas
                ));
            }
        }
        match &self.ending {
            Ending::Heal => Ok(()),
            Ending::LastMajority { away } => {
                self.named("away", away)?;
                match away.len() > minority {
                    true => wrong("more stay away than a majority can spare"),
                    false => Ok(()),
                }
            }
            Ending::Core {
                hub,
                others,
                also_cut,
                outside: _,
            } => {
                self.named("the core", others)?;
                self.named("the core", &[*hub])?;
                let cut: Vec<u16> = also_cut.iter().flat_map(|&(a, b)| [a, b]).collect();
                self.named("also_cut", &cut)?;
                let mut core = others.clone();
                core.push(*hub);
                core.sort_unstable();
                core.dedup();
                match core.len() <= usize::from(self.replicas) / 2 {
                    true => wrong("the core is no majority"),
                    false => Ok(()),
                }
            }
        }
    }

    fn named(&self, by: &str, replicas: &[u16]) -> Result<(), PlanError> {
        match replicas.iter().find(|&&id| id == 0 || id > self.replicas) {
            Some(id) => wrong(format!(
                "{by}: there is no replica {id} of {}",
                self.replicas
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_read_back() {
        for seed in 0..300 {
            let plan = Plan::draw(seed);
            assert_eq!(Plan::from_json(&plan.to_json()).unwrap(), plan, "{seed}");
        }
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_its_reason() {
        let refused = |change: &dyn Fn(&mut serde_json::Value), reason: &str| {
            let mut plan = serde_json::to_value(Plan::quiet(1, 3)).unwrap();
            change(&mut plan);
            let error = Plan::from_json(&plan.to_string()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        refused(&|p| p["paxlog_plan"] = 2.into(), "this release knows 1");
        refused(&|p| p["replicas"] = 4.into(), "1, 3 or 5");
        refused(&|p| p["clients"] = 0.into(), "clients is 0");
        refused(&|p| p["loss_percent"] = 100.into(), "loss_percent");
        refused(&|p| p["segment_bytes"] = 70_000.into(), "4096");
        refused(&|p| p["nonsense"] = 1.into(), "nonsense");
        refused(&|p| p["victims"] = vec![1, 2].into(), "no minority");
        let fault = |what: &str| {
            let what: serde_json::Value = serde_json::from_str(what).unwrap();
            move |p: &mut serde_json::Value| {
                p["faults"] = serde_json::json!([{"at": 1, "what": what.clone()}]);
            }
        };
        refused(
            &fault(r#"{"pause": {"replica": 4, "lasts": 1}}"#),
            "no replica 4",
        );
        refused(
            &fault(r#"{"client_dies": {"client": 9}}"#),
            "there are 2 clients",
        );
        refused(
            &fault(r#"{"wipe": {"replica": 1, "down": 1}}"#),
            "none of the victims",
        );
        refused(
            &fault(r#"{"crash_all": {"power": true, "down": [1]}}"#),
            "1 times for 3",
        );
        refused(&fault(r#"{"explode": {}}"#), "explode");
        refused(
            &|p| {
                p["faults"] = serde_json::json!([{"at": TIME_MAX + 1, "what": {"client_dies": {"client": 0}}}])
            },
            "fault 0 (client dies c0): at is 3600000000001",
        );
        let core = serde_json::json!({"core": {"hub": 1, "others": [], "also_cut": []}});
        refused(&move |p| p["ending"] = core.clone(), "no majority");
        let away = serde_json::json!({"last_majority": {"away": [1, 2]}});
        refused(&move |p| p["ending"] = away.clone(), "can spare");
        assert!(Plan::from_json("{").is_err());
    }

    /// Each time and count of each fault, at its bound and beyond.
    #[test]
    fn what_faults_last_and_count_is_bounded() {
        let read = |what: &str, number: &str| {
            let what = what.replace("N", number);
            let mut plan = serde_json::to_value(Plan::quiet(1, 3)).unwrap();
            let what: serde_json::Value = serde_json::from_str(&what).unwrap();
            plan["victims"] = vec![1].into();
            plan["faults"] = serde_json::json!([{"at": 1, "what": what}]);
            Plan::from_json(&plan.to_string()).map_err(|error| error.to_string())
        };
        let bounded = |max: u64, fault: &str, field: &str, what: &str| {
            assert!(read(what, &max.to_string()).is_ok(), "{what}");
            let error = read(what, &(max + 1).to_string()).expect_err(what);
            let (name, bound) = (format!("fault 0 ({fault}"), format!("from 0 to {max}"));
            let value = format!("{field} is {}", max + 1);
            for part in [&name, &value, &bound] {
                assert!(error.contains(part.as_str()), "{error} has no {part}");
            }
        };
        let time = |fault: &str, field: &str, what: &str| bounded(TIME_MAX, fault, field, what);
        let count = |fault: &str, field: &str, what: &str| bounded(COUNT_MAX, fault, field, what);
        let cut = r#"{"cut": {"shape": "halves", "directions": [[1, 2]], "lasts": N}}"#;
        time("halves", "lasts", cut);
        let flap = r#"{"flap": {"directions": [[1, 2]], "half": N, "times": 1}}"#;
        time("flapping", "half", flap);
        let flap = r#"{"flap": {"directions": [[1, 2]], "half": 1, "times": N}}"#;
        count("flapping", "times", flap);
        let clog = r#"{"clog": {"from": 1, "to": null, "over": null, "lasts": N}}"#;
        time("clog", "lasts", clog);
        let slow = r#"{"slow": {"from": 1, "extra": N, "lasts": 1}}"#;
        time("slow link", "extra", slow);
        let slow = r#"{"slow": {"from": 1, "extra": 1, "lasts": N}}"#;
        time("slow link", "lasts", slow);
        let crash = r#"{"crash": {"replica": 1, "power": true, "when": "now", "down": N}}"#;
        time("crash", "down", crash);
        for (moment, fault) in [
            ("syncing", "crash in a sync"),
            ("writing", "crash in a write"),
            ("effects", "crash between effects"),
            ("upkeep", "crash after upkeep"),
            ("disk_calls", "crash in a change of the disk"),
        ] {
            let crash =
                r#"{"crash": {"replica": 1, "power": true, "when": {"MOMENT": N}, "down": 1}}"#;
            count(fault, moment, &crash.replace("MOMENT", moment));
        }
        let all = r#"{"crash_all": {"power": true, "down": [1, 1, N]}}"#;
        time("all crash", "down", all);
        let rolling = r#"{"rolling": {"power": true, "gap": N, "down": 1}}"#;
        time("rolling restart", "gap", rolling);
        let rolling = r#"{"rolling": {"power": true, "gap": 1, "down": N}}"#;
        time("rolling restart", "down", rolling);
        let pause = r#"{"pause": {"replica": 1, "lasts": N}}"#;
        time("pause", "lasts", pause);
        let stall = r#"{"sync_stall": {"replica": 1, "lasts": N}}"#;
        time("stalled sync", "lasts", stall);
        let fail = r#"{"sync_fail": {"replica": 1, "nth": N, "down": 1}}"#;
        count("failed sync", "nth", fail);
        let fail = r#"{"sync_fail": {"replica": 1, "nth": 1, "down": N}}"#;
        time("failed sync", "down", fail);
        let full = r#"{"disk_full": {"replica": 1, "segments": N, "lasts": 1}}"#;
        count("full disk", "segments", full);
        let full = r#"{"disk_full": {"replica": 1, "segments": 1, "lasts": N}}"#;
        time("full disk", "lasts", full);
        time(
            "lost disk",
            "down",
            r#"{"wipe": {"replica": 1, "down": N}}"#,
        );
        let listed = r#"{"wipe_with_list": {"replica": 1, "down": N}}"#;
        time("lost disk with a list", "down", listed);
        let handed = r#"{"hand_over": {"replica": 1, "down": N}}"#;
        time("hand-over", "down", handed);
        let step = r#"{"clock_step": {"replica": 1, "by": N}}"#;
        time("clock step", "by", step);
        time("clock step", "by", &step.replace("N", "-N"));
        // A choice among places is no count.
        let rot = r#"{"at_rest": {"replica": 1, "file": "idx", "damage": "flip", "pick": N}}"#;
        assert!(read(rot, &u64::MAX.to_string()).is_ok());
        assert!(read(&step.replace("N", "-N"), "9223372036854775808").is_err());
    }
}
