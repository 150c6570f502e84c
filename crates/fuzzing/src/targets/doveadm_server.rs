//! The doveadm server's protocol from both ends: lines of commands, what comes behind them, and what a
//! server answers.

use doveadm::probe;

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for line in text.lines() {
        let _ = probe::command(line);
        // The same for each command that there is, whatever name the line has.
        let rest = line.splitn(4, '\t').nth(3).unwrap_or_default();
        for name in ["fetch", "search", "mailbox list", "flags add", "copy", "import", "dsync-server"] {
            let _ = probe::command(&format!("\tjoe\t{name}\t{rest}"));
        }
    }
    if let Ok(read) = probe::command_input(data) {
        assert!(read.len() <= data.len());
    }
    let _ = probe::answer(data);
}
