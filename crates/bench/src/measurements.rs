//! What is measured, in the order of the table. To add a measurement, add an entry and a function.

use crate::client::{Answer, Failure, Outcome};
use crate::corpus::RARE_WORD;
use crate::fill::MAIN;
use crate::logins;
use crate::options::CLIENTS;
use crate::side::{Sample, Side};

/// One line of the table.
pub(crate) struct Measurement {
    /// For `--only`.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What is counted for each second.
    pub(crate) unit: &'static str,
    /// How many times as fast as the peer we mean to be at least.
    pub(crate) target: f64,
    /// One round, its mailboxes made first where they are missing. Round 0 is not counted.
    pub(crate) run: fn(&mut Side, usize) -> Outcome<Sample>,
}

pub(crate) const ALL: &[Measurement] = &[
    Measurement {
        name: "append-1",
        title: "APPEND, 1 client",
        unit: "messages",
        target: 1.5,
        run: append_alone,
    },
    Measurement {
        name: "append-10",
        title: "APPEND, 10 clients",
        unit: "messages",
        target: 2.0,
        run: append_together,
    },
    Measurement {
        name: "flags",
        title: "SELECT, FETCH 1:* (UID FLAGS)",
        unit: "messages",
        target: 2.0,
        run: flags,
    },
    Measurement {
        name: "envelope-cold",
        title: "ENVELOPE, never opened before",
        unit: "messages",
        target: 2.0,
        run: envelope_cold,
    },
    Measurement {
        name: "envelope-warm",
        title: "ENVELOPE, seen before",
        unit: "messages",
        target: 2.0,
        run: envelope_warm,
    },
    Measurement { name: "bodies", title: "BODY.PEEK[]", unit: "messages", target: 1.5, run: bodies },
    Measurement { name: "status", title: "STATUS", unit: "mailboxes", target: 2.0, run: status },
    Measurement {
        name: "search-body",
        title: "SEARCH BODY",
        unit: "messages",
        target: 3.0,
        run: |side, _| in_main(side, &format!("SEARCH BODY {RARE_WORD}"), 1),
    },
    Measurement {
        name: "sort-date",
        title: "SORT (DATE)",
        unit: "messages",
        target: 2.0,
        run: |side, _| in_main(side, "SORT (DATE) UTF-8 ALL", PASSES),
    },
    Measurement {
        name: "sort-subject",
        title: "SORT (SUBJECT)",
        unit: "messages",
        target: 2.0,
        run: |side, _| in_main(side, "SORT (SUBJECT) UTF-8 ALL", PASSES),
    },
    Measurement {
        name: "thread",
        title: "THREAD REFERENCES",
        unit: "messages",
        target: 2.0,
        run: |side, _| in_main(side, "THREAD REFERENCES UTF-8 ALL", PASSES),
    },
    Measurement { name: "store", title: "STORE, one message each", unit: "stores", target: 1.0, run: store },
    Measurement {
        name: "login",
        title: "LOGIN and LOGOUT, 10 clients",
        unit: "logins",
        target: 1.0,
        run: login,
    },
    Measurement {
        name: "auth-logins",
        title: "LOGIN by MariaDB, 10 clients",
        unit: "logins",
        target: 3.0,
        run: logins::rate,
    },
    Measurement {
        name: "auth-flood",
        title: "p99 of LOGIN, 1000 wrong ones a second",
        unit: "1/p99",
        target: 3.0,
        run: logins::flood,
    },
];

/// How often a round repeats what would be over too soon to be timed.
const PASSES: usize = 5;
const ENVELOPE: &str = "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)";

/// The names, for `-h`.
pub(crate) fn list() -> String {
    let line = |m: &Measurement| format!("  {:14} {} (target: {}x)\n", m.name, m.title, m.target);
    format!("Measurements:\n{}", ALL.iter().map(line).collect::<String>())
}

fn append_alone(side: &mut Side, round: usize) -> Outcome<Sample> {
    append(side, &format!("alone{round}"), 1)
}

fn append_together(side: &mut Side, round: usize) -> Outcome<Sample> {
    append(side, &format!("together{round}"), CLIENTS)
}

/// Each client appends to a new mailbox of its own user, one message at a time.
fn append(side: &Side, mailbox: &str, clients: usize) -> Outcome<Sample> {
    let each = side.amounts.appends / clients;
    let mut work = Vec::new();
    for client in 0..clients {
        let mut session = side.session_of(client + 1)?;
        session.command(&format!("CREATE {mailbox}"))?;
        let numbers = (client * each..(client + 1) * each).map(|number| number as u64);
        work.push((session, numbers.map(|number| side.corpus.message_crlf(number)).collect::<Vec<_>>()));
    }
    let sample = side.timed(each * clients, || {
        std::thread::scope(|scope| {
            let threads: Vec<_> = work
                .iter_mut()
                .map(|(session, messages)| {
                    let mut each = messages.chunks(1);
                    scope.spawn(move || each.try_for_each(|message| session.append(mailbox, message)))
                })
                .collect();
            Side::join(threads)
        })
    })?;
    work.into_iter().try_for_each(|(session, _)| session.logout())?;
    Ok(sample)
}

fn flags(side: &mut Side, _: usize) -> Outcome<Sample> {
    let count = side.amounts.large;
    side.fill("large", count, side.amounts.pool)?;
    let mut session = side.session()?;
    let sample = side.timed(count, || {
        session.command("SELECT large")?;
        all_of(count, session.command("FETCH 1:* (UID FLAGS)")?)
    })?;
    session.logout()?;
    Ok(sample)
}

/// Each round has a mailbox of its own, which nobody has opened: there is no cache yet.
fn envelope_cold(side: &mut Side, round: usize) -> Outcome<Sample> {
    let (mailbox, count) = (format!("cold{round}"), side.amounts.messages);
    side.fill(&mailbox, count, count)?;
    let mut session = side.session()?;
    let sample = side.timed(count, || {
        session.command(&format!("SELECT {mailbox}"))?;
        all_of(count, session.command(ENVELOPE)?)
    })?;
    session.logout()?;
    Ok(sample)
}

fn envelope_warm(side: &mut Side, _: usize) -> Outcome<Sample> {
    side.fill_main()?;
    let count = side.amounts.messages;
    let mut session = side.selected(MAIN)?;
    let sample = side.timed(count * PASSES, || {
        (0..PASSES).try_for_each(|_| all_of(count, session.command(ENVELOPE)?).map(drop))?;
        Ok(Answer::default())
    })?;
    session.logout()?;
    Ok(sample)
}

fn bodies(side: &mut Side, _: usize) -> Outcome<Sample> {
    side.fill_main()?;
    let count = side.amounts.bodies;
    let mut session = side.selected(MAIN)?;
    let sample = side.timed(count, || {
        let answer = all_of(count, session.command(&format!("FETCH 1:{count} (BODY.PEEK[])"))?)?;
        Ok(Answer { found: answer.literal_bytes, ..answer })
    })?;
    session.logout()?;
    Ok(sample)
}

fn status(side: &mut Side, _: usize) -> Outcome<Sample> {
    let amounts = side.amounts;
    for number in 0..amounts.boxes {
        side.fill(&format!("box{number}"), amounts.box_messages, amounts.box_messages)?;
    }
    let mut session = side.session()?;
    let asked = |number| format!("STATUS box{number} (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)");
    let sample = side.timed(amounts.boxes * amounts.box_passes, || {
        let mut passes = (0..amounts.box_passes).map(|_| session.pipeline((0..amounts.boxes).map(asked)));
        passes.try_fold(Answer::default(), |_, answer| answer)
    })?;
    session.logout()?;
    Ok(sample)
}

/// A server that leaves messages out is not fast.
fn all_of(count: usize, answer: Answer) -> Outcome<Answer> {
    match answer.untagged >= count as u64 {
        true => Ok(answer),
        false => Err(Failure::Refused(format!("told of {} messages, not {count}", answer.untagged))),
    }
}

/// The same command several times in the selected mailbox of distinct messages.
fn in_main(side: &mut Side, command: &str, passes: usize) -> Outcome<Sample> {
    side.fill_main()?;
    let mut session = side.selected(MAIN)?;
    let sample = side.timed(side.amounts.messages * passes, || {
        let mut answers = (0..passes).map(|_| session.command(command));
        answers.try_fold(Answer::default(), |_, answer| answer)
    })?;
    session.logout()?;
    Ok(sample)
}

/// Flags are set and taken away again, so that each round finds the same.
fn store(side: &mut Side, _: usize) -> Outcome<Sample> {
    let count = side.amounts.stores;
    side.fill("store", count, count)?;
    let mut session = side.selected("store")?;
    let sample = side.timed(count * 2, || {
        for sign in ['+', '-'] {
            for number in 1..=count {
                session.command(&format!("STORE {number} {sign}FLAGS (\\Flagged)"))?;
            }
        }
        Ok(Answer::default())
    })?;
    session.logout()?;
    Ok(sample)
}

fn login(side: &mut Side, _: usize) -> Outcome<Sample> {
    let each = side.amounts.logins / CLIENTS;
    let one = |user| side.session_of(user)?.logout();
    side.timed(each * CLIENTS, || {
        std::thread::scope(|scope| {
            let threads =
                (1..=CLIENTS).map(|user| scope.spawn(move || (0..each).try_for_each(|_| one(user))));
            Side::join(threads.collect())
        })
    })
}
