//! The one table that is printed, and the notes below it.

use std::time::Duration;

use crate::measurements::Measurement;
use crate::run::{Measured, Samples};

/// Less CPU time than this in all rounds together is too coarse to compare: `/proc` counts 10 ms.
const COMPARABLE_CPU: Duration = Duration::from_millis(100);
/// More CPUs than this in the hands of others, and the figures are worth less.
const OTHERS_MAX: f64 = 0.2;

const HEAD: [&str; 9] = [
    "measurement",
    "a second",
    "ours",
    "Dovecot",
    "ratio",
    "target",
    "CPU µs each, ours",
    "Dovecot",
    "CPU ratio, target ≤1",
];

/// A table in Markdown whose columns are aligned, and notes.
pub(crate) fn render(results: &[Measured]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(results.iter().map(row));
    let widths: Vec<usize> = (0..HEAD.len()).map(|at| width(&rows, at)).collect();
    let mut text = String::new();
    for (number, cells) in rows.iter().enumerate() {
        let cells = cells.iter().zip(&widths).enumerate();
        let cells = cells.map(|(at, (cell, width))| match at {
            0 | 1 => format!(" {cell:width$} |"),
            _ => format!(" {cell:>width$} |"),
        });
        text.push_str(&format!("|{}\n", cells.collect::<String>()));
        if number == 0 {
            let rule = widths.iter().enumerate().map(|(at, width)| match at {
                0 | 1 => format!("{}|", "-".repeat(width + 2)),
                _ => format!("{}:|", "-".repeat(width + 1)),
            });
            text.push_str(&format!("|{}\n", rule.collect::<String>()));
        }
    }
    text + &notes(results)
}

fn width(rows: &[[String; HEAD.len()]], at: usize) -> usize {
    rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
}

fn row(result: &Measured) -> [String; HEAD.len()] {
    let Measurement { title, unit, target, .. } = result.measurement;
    let figures: Vec<Option<Figures>> = result.sides.iter().map(Figures::of).collect();
    let ours = figures.first().copied().flatten();
    let theirs = figures.get(1).copied().flatten();
    let both = ours.zip(theirs);
    let ratio = both.map(|(ours, theirs)| ours.rate / theirs.rate);
    let verdict = |fine: bool| if fine { "pass" } else { "short" };
    let shown = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), significant);
    [
        (*title).to_owned(),
        (*unit).to_owned(),
        shown(ours.map(|figures| figures.rate)),
        shown(theirs.map(|figures| figures.rate)),
        ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
        format!("≥{target} {}", ratio.map_or("-", |ratio| verdict(ratio >= *target))),
        shown(ours.map(|figures| figures.cpu_us)),
        shown(theirs.map(|figures| figures.cpu_us)),
        match both {
            None => "-".to_owned(),
            Some((ours, theirs)) if ours.cpu.max(theirs.cpu) < COMPARABLE_CPU => "too short".to_owned(),
            // The peer used less than can be measured.
            Some((_, theirs)) if theirs.cpu.is_zero() => verdict(false).to_owned(),
            Some((ours, theirs)) => {
                let ratio = ours.cpu_us / theirs.cpu_us;
                format!("{ratio:.2} {}", verdict(ratio <= 1.0))
            }
        },
    ]
}

/// What a side's rounds come to.
#[derive(Clone, Copy)]
struct Figures {
    /// Operations a second: the median of the rounds.
    rate: f64,
    /// CPU time of all rounds, and of one operation: the mean, as one round's is coarse.
    cpu: Duration,
    cpu_us: f64,
}

impl Figures {
    /// None if a round failed: the rest would not be comparable.
    fn of(samples: &Samples) -> Option<Self> {
        if samples.failure.is_some() || samples.rounds.is_empty() {
            return None;
        }
        let rounds = &samples.rounds;
        let rate = median(
            rounds.iter().map(|round| round.operations as f64 / round.elapsed.as_secs_f64()).collect(),
        )?;
        let cpu: Duration = rounds.iter().map(|round| round.cpu).sum();
        let operations: usize = rounds.iter().map(|round| round.operations).sum();
        Some(Self { rate, cpu, cpu_us: cpu.as_secs_f64() * 1e6 / operations as f64 })
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().checked_sub(1)? / 2)?;
    Some((lower + upper) / 2.0)
}

/// Three digits that count, with the thousands set apart.
fn significant(value: f64) -> String {
    match value {
        0.0..10.0 => return format!("{value:.2}"),
        10.0..100.0 => return format!("{value:.1}"),
        _ => {}
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn notes(results: &[Measured]) -> String {
    let mut notes = Vec::new();
    for result in results {
        let title = result.measurement.title;
        for samples in &result.sides {
            if let Some(failure) = &samples.failure {
                notes.push(format!("{title}, {}: {failure}", samples.side));
            }
        }
        let found = |at: usize| result.sides.get(at)?.rounds.first().map(|round| round.found);
        if found(0).zip(found(1)).is_some_and(|(ours, theirs)| ours != theirs) {
            notes.push(format!("{title}: the two did not find the same; their times are not comparable"));
        }
    }
    let rounds = results.iter().flat_map(|result| &result.sides).flat_map(|side| &side.rounds);
    let others = median(rounds.map(|round| round.others).collect()).unwrap_or(0.0);
    if others > OTHERS_MAX {
        notes.push(format!("other processes kept {others:.1} CPUs busy meanwhile: the figures are rough"));
    }
    match notes.is_empty() {
        true => String::new(),
        false => format!("\n{}\n", notes.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurements::ALL;
    use crate::side::Sample;

    fn samples(side: &'static str, millis: &[u64], failure: Option<&str>) -> Samples {
        let round = |millis: &u64| Sample {
            operations: 100,
            elapsed: Duration::from_millis(*millis),
            cpu: Duration::from_millis(*millis / 2),
            others: 0.0,
            found: millis % 2,
        };
        Samples { side, rounds: millis.iter().map(round).collect(), failure: failure.map(str::to_owned) }
    }

    fn measured(sides: Vec<Samples>) -> Measured {
        Measured { measurement: &ALL[0], sides }
    }

    fn check(result: Measured, expected: [&str; 8], notes: &str) {
        let text = render(&[result]);
        let line = text.lines().nth(2).expect("a row");
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).skip(1).collect();
        assert_eq!(cells, expected);
        assert_eq!(text.lines().skip(3).collect::<Vec<_>>().join("\n").trim(), notes);
    }

    #[test]
    fn medians_and_verdicts() {
        check(
            measured(vec![
                samples("ours", &[100, 900, 200], None),
                samples("Dovecot", &[400, 402, 300], None),
            ]),
            ["messages", "500", "250", "2.00", "≥1.5 pass", "2 000", "1 837", "1.09 short"],
            "",
        );
    }

    #[test]
    fn what_one_side_refuses_is_a_dash_and_a_note() {
        check(
            measured(vec![samples("ours", &[], Some("BAD Unknown")), samples("Dovecot", &[400], None)]),
            ["messages", "-", "250", "-", "≥1.5 -", "-", "2 000", "-"],
            "APPEND, 1 client, ours: BAD Unknown",
        );
        check(
            measured(vec![samples("ours", &[400], None)]),
            ["messages", "250", "-", "-", "≥1.5 -", "2 000", "-", "-"],
            "",
        );
    }

    #[test]
    fn little_cpu_time_and_different_findings_are_told() {
        check(
            measured(vec![samples("ours", &[101], None), samples("Dovecot", &[100], None)]),
            ["messages", "990", "1 000", "0.99", "≥1.5 short", "500", "500", "too short"],
            "APPEND, 1 client: the two did not find the same; their times are not comparable",
        );
    }

    #[test]
    fn columns_are_aligned() {
        let text = render(&[measured(vec![samples("ours", &[100], None)])]);
        let widths: Vec<_> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }
}
