//! The one table that is printed, and the notes below it.

use std::time::Duration;

use crate::measurements::Measurement;
use crate::run::{Measured, Samples};
use crate::size::{Column, Step};

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
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    rows.extend(results.iter().map(|result| row(result).to_vec()));
    aligned(&rows, 2) + &notes(results)
}

/// The same of things that were done once: how long they took, and how much memory had been needed by then.
pub(crate) fn render_steps(columns: &[Column]) -> String {
    let mut rows = vec![STEPS_HEAD.map(str::to_owned).to_vec()];
    let mut notes = String::new();
    let Some((ours, theirs)) = columns.split_first() else { return notes };
    for (at, step) in ours.steps.iter().enumerate() {
        let other = theirs.first().and_then(|theirs| theirs.steps.get(at));
        let seconds = |step: Option<&Step>| step.and_then(|step| step.done.as_ref().ok()).copied();
        let both = seconds(Some(step)).zip(seconds(other));
        let shown = |time: Option<Duration>| {
            time.map_or_else(|| "-".to_owned(), |time| format!("{:.3}", time.as_secs_f64()))
        };
        let memory = |step: Option<&Step>| {
            step.map_or_else(|| "-".to_owned(), |step| significant(step.memory as f64 / 1e6))
        };
        let ratio = both.map(|(ours, theirs)| theirs.as_secs_f64() / ours.as_secs_f64());
        rows.push(vec![
            step.title.to_owned(),
            shown(seconds(Some(step))),
            shown(seconds(other)),
            ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            memory(Some(step)),
            memory(other),
        ]);
    }
    for column in columns {
        for step in &column.steps {
            if let Err(why) = &step.done {
                notes.push_str(&format!("\n{}, {}: {why}", step.title, column.side));
            }
        }
    }
    if !notes.is_empty() {
        notes.push('\n');
    }
    aligned(&rows, 1) + &notes
}

const STEPS_HEAD: [&str; 6] =
    ["step", "seconds, ours", "Dovecot", "times as fast", "memory at its peak, MB, ours", "Dovecot"];

/// Rows as a table in Markdown, the first as its head; the first `left` columns are text.
fn aligned(rows: &[Vec<String>], left: usize) -> String {
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(|at| width(rows, at)).collect();
    let mut text = String::new();
    for (number, cells) in rows.iter().enumerate() {
        let cells = cells.iter().zip(&widths).enumerate();
        let cells = cells.map(|(at, (cell, width))| match at < left {
            true => format!(" {cell:width$} |"),
            false => format!(" {cell:>width$} |"),
        });
        text.push_str(&format!("|{}\n", cells.collect::<String>()));
        if number == 0 {
            let rule = widths.iter().enumerate().map(|(at, width)| match at < left {
                true => format!("{}|", "-".repeat(width + 2)),
                false => format!("{}:|", "-".repeat(width + 1)),
            });
            text.push_str(&format!("|{}\n", rule.collect::<String>()));
        }
    }
    text
}

fn width(rows: &[Vec<String>], at: usize) -> usize {
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
    fn steps_are_compared_one_by_one() {
        let step = |title, done: Result<u64, &str>| Step {
            title,
            done: done.map(Duration::from_millis).map_err(str::to_owned),
            memory: 12_000_000,
        };
        let ours = Column { side: "ours", steps: vec![step("SELECT", Ok(100)), step("LIST", Err("NO"))] };
        let theirs = Column { side: "Dovecot", steps: vec![step("SELECT", Ok(250)), step("LIST", Ok(1))] };
        let text = render_steps(&[ours, theirs]);
        let cells = |line: usize| {
            let line = text.lines().nth(line).expect("a row");
            line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(cells(2), "SELECT 0.100 0.250 2.50 12.0 12.0");
        assert_eq!(cells(3), "LIST - 0.001 - 12.0 12.0");
        assert!(text.ends_with("\n\nLIST, ours: NO\n"), "{text}");
    }

    #[test]
    fn columns_are_aligned() {
        let text = render(&[measured(vec![samples("ours", &[100], None)])]);
        let widths: Vec<_> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }
}
