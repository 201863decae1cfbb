//! Rounds taken together: medians with their spread, and ratios.

use serde_json::{Map, Value, json};

use super::choice::{Primary, Scenario, System};
use crate::suite::median;

/// Of each number its median, least and greatest over the rounds; the curve of latencies point by point.
pub(super) fn rounds(rounds: &[Value]) -> Value {
    let (mut middle, mut least, mut most) = (Map::new(), Map::new(), Map::new());
    // A percentile is missing from a round in which nothing came back.
    let keys = rounds
        .iter()
        .filter_map(Value::as_object)
        .flat_map(Map::keys);
    for key in keys {
        let values = sorted(rounds.iter().filter_map(|round| round[key].as_f64()));
        if let (Some(mid), Some(first), Some(last)) =
            (median(&values), values.first(), values.last())
        {
            middle.insert(key.clone(), json!(mid));
            least.insert(key.clone(), json!(first));
            most.insert(key.clone(), json!(last));
        }
    }
    let mut bare = rounds.to_vec();
    for round in &mut bare {
        if let Some(round) = round.as_object_mut() {
            round.remove("cdf");
        }
    }
    json!({"median": middle, "min": least, "max": most, "cdf": curve(rounds), "rounds": bare})
}

/// The median of each point over the rounds.
fn curve(rounds: &[Value]) -> Value {
    let curves: Vec<&Vec<Value>> = rounds
        .iter()
        .filter_map(|round| round["cdf"].as_array())
        .collect();
    let Some(first) = curves.first() else {
        return Value::Null;
    };
    let points = first.iter().enumerate().map(|(place, point)| {
        let at = curves
            .iter()
            .filter_map(|curve| curve.get(place)?[1].as_f64());
        json!([point[0], median(&sorted(at))])
    });
    points.collect()
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// How much better `own` is than `other`: above 1 if it is.
pub(super) fn times_better(primary: Primary, own: f64, other: f64) -> Option<f64> {
    let ratio = match primary.more {
        true => own / other,
        false => other / own,
    };
    ratio.is_finite().then(|| (ratio * 100.0).round() / 100.0)
}

/// Adds to each result how it compares with the best durable peer of its row and with the floor.
pub(super) fn ratios(results: &mut [Value], scenario: Scenario, floor: &Value) {
    let primary = scenario.primary();
    let best_peer = {
        let peers = results
            .iter()
            .filter(|result| is_durable_peer(result))
            .filter_map(|result| result["median"][primary.key].as_f64());
        match primary.more {
            true => peers.max_by(f64::total_cmp),
            false => peers.min_by(f64::total_cmp),
        }
    };
    for result in results {
        let Some(own) = result["median"][primary.key].as_f64() else {
            continue;
        };
        let better = best_peer.and_then(|peer| times_better(primary, own, peer));
        result["times_best_durable_peer"] = json!(better);
        result["of_floor"] = of_floor(scenario, result, floor);
    }
}

fn is_durable_peer(result: &Value) -> bool {
    result["system"] != System::Paxlog.name() && result["durable"] == true
}

/// A lone append's p50 over the least possible; else the share of the most bytes a second that the floor says these cores
/// can take, if it says so.
fn of_floor(scenario: Scenario, result: &Value, floor: &Value) -> Value {
    let hundredths = |value: f64| (value * 100.0).round() / 100.0;
    let least = floor["median"]["least_append_p50_us"].as_f64();
    let most = floor["median"]["most_bytes_per_s"].as_f64();
    match scenario {
        Scenario::Lone => {
            let p50 = result["median"]["p50_us"].as_f64();
            match (p50, least) {
                (Some(p50), Some(least)) => json!({"times": hundredths(p50 / least)}),
                _ => Value::Null,
            }
        }
        // What readers get has another floor.
        Scenario::Backlog | Scenario::Live | Scenario::Stuck | Scenario::Failover => Value::Null,
        _ => match (result["median"]["mb_per_s"].as_f64(), most) {
            (Some(mb), Some(most)) => json!({"share": hundredths(mb * 1e6 / most)}),
            _ => Value::Null,
        },
    }
}

/// How much slower appends became by a stuck reader: the same system's figures of two rows.
pub(super) fn slowdown(live: &Value, stuck: &Value) -> Value {
    let ratio = |key: &str| {
        let ratio = stuck["median"][key].as_f64()? / live["median"][key].as_f64()?;
        Some((ratio * 100.0).round() / 100.0)
    };
    json!({"append_p50": ratio("append_p50_us"), "append_p99": ratio("append_p99_us")})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_have_their_spread_and_curves_go_point_by_point() {
        let all = rounds(&[
            json!({"ops_per_s": 30, "cdf": [[0.5, 10], [0.9, 70]]}),
            json!({"ops_per_s": 10, "cdf": [[0.5, 30], [0.9, 50]]}),
            json!({"ops_per_s": 20, "p50_us": 7, "cdf": [[0.5, 20], [0.9, 60]]}),
        ]);
        assert_eq!(all["median"]["ops_per_s"], 20.0);
        assert_eq!(all["min"]["ops_per_s"], 10.0);
        assert_eq!(all["max"]["ops_per_s"], 30.0);
        assert_eq!(all["median"]["p50_us"], 7.0);
        assert_eq!(all["cdf"], json!([[0.5, 20.0], [0.9, 60.0]]));
        assert_eq!(all["rounds"][2], json!({"ops_per_s": 20, "p50_us": 7}));
    }

    fn result(system: System, figures: Value) -> Value {
        json!({"system": system, "durable": system.durable(), "median": figures})
    }

    #[test]
    fn the_best_peer_is_durable_and_the_floor_counts_as_far_as_it_is_known() {
        let rate = |rate: u32| json!({"ops_per_s": rate, "mb_per_s": rate});
        let mut row = [
            result(System::Paxlog, rate(300)),
            result(System::Etcd, rate(60)),
            result(System::Nats, rate(100)),
            result(System::NatsDefault, rate(200)),
        ];
        ratios(&mut row, Scenario::Flight256, &json!({"median": {}}));
        assert_eq!(row[0]["times_best_durable_peer"], 3.0);
        assert_eq!(row[1]["times_best_durable_peer"], 0.6);
        assert_eq!(row[0]["of_floor"], Value::Null);
        let floor = json!({"median": {"most_bytes_per_s": 400e6}});
        ratios(&mut row, Scenario::Flight256, &floor);
        assert_eq!(row[0]["of_floor"]["share"], 0.75);
    }

    #[test]
    fn less_is_better_where_it_is_a_latency() {
        let mut row = [
            result(System::Paxlog, json!({"p50_us": 200})),
            result(System::Nats, json!({"p50_us": 1000})),
        ];
        let floor = json!({"median": {"least_append_p50_us": 160}});
        ratios(&mut row, Scenario::Lone, &floor);
        assert_eq!(row[0]["times_best_durable_peer"], 5.0);
        assert_eq!(row[0]["of_floor"]["times"], 1.25);
    }

    #[test]
    fn a_row_without_peers_has_no_ratio() {
        let mut row = [result(System::Paxlog, json!({"ops_per_s": 1}))];
        ratios(&mut row, Scenario::Coalesced256, &Value::Null);
        assert_eq!(row[0]["times_best_durable_peer"], Value::Null);
        assert_eq!(
            times_better(Scenario::Lone.primary(), 0.0, 0.0),
            None,
            "nothing is infinitely better"
        );
    }

    #[test]
    fn a_slowdown_is_the_ratio_of_two_rows() {
        let figures = |us| json!({"median": {"append_p50_us": us, "append_p99_us": us}});
        assert_eq!(slowdown(&figures(100), &figures(110))["append_p99"], 1.1);
    }
}
