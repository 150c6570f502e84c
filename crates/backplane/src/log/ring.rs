//! The last warnings and errors, for `doveadm log errors`.

use std::collections::VecDeque;

use ipc::log::KeptLine;

use crate::limits::{ERRORS_BYTES_MAX, ERRORS_KEPT};

/// Keeps the newest [`ERRORS_KEPT`] lines, within [`ERRORS_BYTES_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Ring {
    lines: VecDeque<KeptLine>,
    bytes: usize,
}

impl Ring {
    pub(crate) fn push(&mut self, line: KeptLine) {
        self.bytes += bytes_of(&line);
        self.lines.push_back(line);
        while self.lines.len() > ERRORS_KEPT || self.bytes > ERRORS_BYTES_MAX {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= bytes_of(&oldest);
        }
    }

    /// The lines at or after `since_s` (seconds since 1970), oldest first.
    pub(crate) fn since(&self, since_s: u64) -> Vec<KeptLine> {
        self.lines.iter().filter(|line| line.time_us / 1_000_000 >= since_s).cloned().collect()
    }
}

fn bytes_of(line: &KeptLine) -> usize {
    line.prefix.len() + line.text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: u64, length: usize) -> KeptLine {
        KeptLine { time_us: second * 1_000_000, level: b'E', prefix: String::new(), text: "x".repeat(length) }
    }

    #[test]
    fn the_oldest_go_first() {
        let mut ring = Ring::default();
        for second in 0..1500 {
            ring.push(line(second, 10));
        }
        assert_eq!(ring.since(0).len(), ERRORS_KEPT);
        assert_eq!(ring.since(0)[0].time_us, 500_000_000);
        assert_eq!(ring.since(1499).len(), 1);
        for second in 2000..2100 {
            ring.push(line(second, 32 * 1024));
        }
        assert_eq!(ring.since(0).len(), ERRORS_BYTES_MAX / (32 * 1024));
    }
}
