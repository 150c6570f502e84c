//! Does the measurements in turns: ours, theirs, ours, theirs.

use crate::interrupt;
use crate::measurements::{self, Measurement};
use crate::options::Options;
use crate::side::{Sample, Side};

/// What came of one measurement.
pub(crate) struct Measured {
    pub(crate) measurement: &'static Measurement,
    /// One for each side, ours first.
    pub(crate) sides: Vec<Samples>,
}

/// A side's rounds.
pub(crate) struct Samples {
    pub(crate) side: &'static str,
    pub(crate) rounds: Vec<Sample>,
    /// Why there are no more.
    pub(crate) failure: Option<String>,
}

/// All measurements that the options want; those that were interrupted with the rounds they had.
pub(crate) fn all(sides: &mut [Side], options: &Options) -> Vec<Measured> {
    let wanted = measurements::ALL.iter().filter(|measurement| options.wants(measurement.name));
    wanted.take_while(|_| !interrupt::came()).map(|measurement| one(sides, measurement, options)).collect()
}

fn one(sides: &mut [Side], measurement: &'static Measurement, options: &Options) -> Measured {
    eprint!("{} ", measurement.name);
    let mut samples: Vec<Samples> =
        sides.iter().map(|side| Samples { side: side.name(), rounds: Vec::new(), failure: None }).collect();
    for round in 0..=options.rounds {
        for (side, samples) in sides.iter_mut().zip(&mut samples) {
            if samples.failure.is_some() || interrupt::came() {
                continue;
            }
            match (measurement.run)(side, round) {
                // The first round fills caches, and is like no other.
                Ok(_) if round == 0 => {}
                Ok(sample) => samples.rounds.push(sample),
                Err(failure) => samples.failure = Some(failure.to_string()),
            }
            eprint!(".");
        }
    }
    eprintln!();
    Measured { measurement, sides: samples }
}
