//! The plots: SVG, with text as text.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;
use serde_json::Value;

use super::choice::{Scenario, System};

const SIZE: (u32, u32) = (860, 480);
const FONT: &str = "sans-serif";
/// Told apart by most people with a colour deficiency too (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// A line: its words, the number of its colour, and its points.
struct Line {
    label: String,
    colour: usize,
    points: Vec<(f64, f64)>,
}

/// An axis: its words, and what it spans.
struct Axis {
    words: &'static str,
    from: f64,
    to: f64,
}

impl Axis {
    /// Room for the legend, which stands at the lower right: so many times less and more.
    fn with_room(self, less: f64, more: f64) -> Axis {
        Axis {
            from: self.from / less,
            to: self.to * more,
            ..self
        }
    }
}

/// What differs between plots.
struct Look<'a> {
    y_label: &'a dyn Fn(&f64) -> String,
    point_size: u32,
}

/// Draws what there is into `dir`; gives the files.
pub(super) fn write(all: &Value, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for scenario in [Scenario::Lone, Scenario::Flight256, Scenario::Flight2048] {
        let lines = latencies(all, scenario);
        let file = dir.join(format!("latency-{}.svg", scenario.name()));
        let title = format!("Latency: {}", scenario.title());
        if cumulative(&file, &title, "microseconds", lines)? {
            files.push(file);
        }
    }
    let file = dir.join("throughput.svg");
    if throughput(&file, throughputs(all))? {
        files.push(file);
    }
    let file = dir.join("failover.svg");
    let title = "Fail-over: longest gap in acknowledgements when the leader is killed";
    if cumulative(&file, title, "milliseconds", gaps(all))? {
        files.push(file);
    }
    Ok(files)
}

fn rows(all: &Value, scenario: Scenario) -> impl Iterator<Item = (usize, &Value)> {
    let results = all["results"].as_array().into_iter().flatten();
    results
        .filter(move |result| result["scenario"] == scenario.name())
        .filter_map(|result| {
            let place = System::ALL
                .iter()
                .position(|system| result["system"] == system.name());
            Some((place?, result))
        })
}

fn latencies(all: &Value, scenario: Scenario) -> Vec<Line> {
    let line = |(colour, result): (usize, &Value)| {
        let points = result["cdf"].as_array().into_iter().flatten();
        Line {
            label: System::ALL[colour].label().to_owned(),
            colour,
            points: points
                .filter_map(|point| Some((point[1].as_f64()?, point[0].as_f64()?)))
                .collect(),
        }
    };
    rows(all, scenario).map(line).collect()
}

fn throughputs(all: &Value) -> Vec<Line> {
    let own = [
        Scenario::Lone,
        Scenario::Flight16,
        Scenario::Flight64,
        Scenario::Flight256,
        Scenario::Flight2048,
    ];
    let packed = [Scenario::Coalesced256, Scenario::Coalesced2048];
    let mut lines = Vec::new();
    for (colour, system) in System::ALL.into_iter().enumerate() {
        for (scenarios, words) in [(&own[..], ""), (&packed[..], ", appender packs")] {
            let point = |scenario: &Scenario| {
                let (_, result) = rows(all, *scenario).find(|(place, _)| *place == colour)?;
                let rate = result["median"]["ops_per_s"].as_f64()?;
                Some((scenario.inflight()? as f64, rate))
            };
            lines.push(Line {
                label: format!("{}{words}", system.label()),
                colour: if words.is_empty() { colour } else { 4 },
                points: scenarios.iter().filter_map(point).collect(),
            });
        }
    }
    lines
}

fn gaps(all: &Value) -> Vec<Line> {
    let line = |(colour, result): (usize, &Value)| {
        let gaps = result["gaps_ms"].as_array().into_iter().flatten();
        let mut gaps: Vec<f64> = gaps.filter_map(Value::as_f64).collect();
        gaps.sort_by(f64::total_cmp);
        let count = gaps.len() as f64;
        // Of one gap, too, a line is seen.
        let steps = (1..).zip(&gaps).flat_map(|(rank, gap)| {
            let rank = f64::from(rank);
            [(*gap, (rank - 1.0) / count), (*gap, rank / count)]
        });
        Line {
            label: System::ALL[colour].label().to_owned(),
            colour,
            points: steps.collect(),
        }
    };
    rows(all, Scenario::Failover).map(line).collect()
}

/// Which part is at or below: false if there is nothing to draw.
fn cumulative(file: &Path, title: &str, unit: &'static str, lines: Vec<Line>) -> Result<bool> {
    let axis = Axis {
        words: unit,
        ..spanned(lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x)).with_room(1.0, 4.0)
    };
    let parts = Axis {
        words: "part at or below",
        from: 0.0,
        to: 1.0,
    };
    let look = Look {
        y_label: &|y| format!("{:.0} %", y * 100.0),
        point_size: 0,
    };
    let range = parts.from..parts.to;
    draw(file, title, lines, &axis, &parts, range, look)
}

fn throughput(file: &Path, lines: Vec<Line>) -> Result<bool> {
    let x = Axis {
        words: "appends of 1 KiB in flight",
        ..spanned(lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x))
    };
    let y = Axis {
        words: "appends a second",
        ..spanned(lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y)).with_room(4.0, 1.0)
    };
    let range = (y.from..y.to).log_scale();
    let title = "Throughput: appends of 1 KiB, each acknowledged on its own";
    let look = Look {
        y_label: &thousands,
        point_size: 3,
    };
    draw(file, title, lines, &x, &y, range, look)
}

/// Some room around all values, for a logarithmic axis.
fn spanned(values: impl Iterator<Item = f64>) -> Axis {
    let (mut from, mut to) = (f64::MAX, 0.0_f64);
    for value in values.filter(|value| *value > 0.0) {
        (from, to) = (from.min(value), to.max(value));
    }
    Axis {
        words: "",
        from: from / 1.25,
        to: to * 1.25,
    }
}

fn thousands(value: &f64) -> String {
    match *value {
        value if value >= 1e6 => format!("{} M", value / 1e6),
        value if value >= 1e3 => format!("{} k", value / 1e3),
        value => format!("{value}"),
    }
}

fn draw<Y>(
    file: &Path,
    title: &str,
    lines: Vec<Line>,
    x: &Axis,
    y: &Axis,
    y_range: Y,
    look: Look<'_>,
) -> Result<bool>
where
    Y: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let lines: Vec<Line> = lines
        .into_iter()
        .filter(|line| !line.points.is_empty())
        .collect();
    if lines.is_empty() {
        return Ok(false);
    }
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let fail = |error: &dyn std::fmt::Display| anyhow!("{}: {error}", file.display());
        root.fill(&WHITE).map_err(|error| fail(&error))?;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, (FONT, 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d((x.from..x.to).log_scale(), y_range)
            .map_err(|error| fail(&error))?;
        chart
            .configure_mesh()
            .x_desc(x.words)
            .y_desc(y.words)
            .x_label_formatter(&thousands)
            .y_label_formatter(&look.y_label)
            .max_light_lines(0)
            .label_style((FONT, 13))
            .axis_desc_style((FONT, 14))
            .bold_line_style(BLACK.mix(0.12))
            .draw()
            .map_err(|error| fail(&error))?;
        for line in lines {
            let style = COLOURS[line.colour % COLOURS.len()].stroke_width(2);
            chart
                .draw_series(LineSeries::new(line.points, style).point_size(look.point_size))
                .map_err(|error| fail(&error))?
                .label(line.label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.9))
            .border_style(BLACK.mix(0.2))
            .label_font((FONT, 13))
            .draw()
            .map_err(|error| fail(&error))?;
        root.present().map_err(|error| fail(&error))?;
    }
    std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_measured_is_drawn_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let row = |scenario: Scenario, system: System, rate: f64| {
            json!({
                "scenario": scenario.name(), "system": system,
                "median": {"ops_per_s": rate}, "cdf": [[0.5, 90], [0.99, 400]],
                "gaps_ms": [150.0, 90.0],
            })
        };
        let mut all = json!({"results": [
            row(Scenario::Lone, System::Paxlog, 3000.0),
            row(Scenario::Flight256, System::Paxlog, 90000.0),
            row(Scenario::Flight256, System::Etcd, 7000.0),
        ]});
        let names = |files: Vec<PathBuf>| -> Vec<String> {
            let name = |file: &PathBuf| file.file_name()?.to_str().map(str::to_owned);
            files.iter().filter_map(name).collect()
        };
        let files = write(&all, dir.path()).unwrap();
        assert_eq!(
            names(files),
            ["latency-lone.svg", "latency-256.svg", "throughput.svg"]
        );
        let text = std::fs::read_to_string(dir.path().join("throughput.svg")).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
        for part in ["etcd", "appends a second", "Paxlog"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("NATS"));
        all["results"][0]["scenario"] = json!("failover");
        assert!(names(write(&all, dir.path()).unwrap()).contains(&"failover.svg".to_owned()));
    }
}
