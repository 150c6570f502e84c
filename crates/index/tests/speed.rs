//! Large mailboxes open fast enough. The bounds are far above what is measured, so that only a change
//! in kind breaks them.

mod support;

use std::time::Instant;

use index::{ExtSpec, Flags, Origin, Transaction};
use support::{Home, uid, uids};

#[test]
fn a_hundred_thousand_messages() {
    let messages = 100_000;
    let home = Home::new();
    let mut index = home.open();
    let mut transaction = support::first(messages);
    transaction.ext(&ExtSpec::new("cache", 0, 4, 4), 0);
    for number in 1..=messages {
        transaction.ext_record("cache", uid(number), &number.to_le_bytes());
    }
    index.commit(&transaction, Origin::External).unwrap();
    index.enable_modseqs().unwrap();
    index.lock().unwrap().synced().unwrap();
    let began = Instant::now();
    let mut index = home.open();
    let opened = began.elapsed();
    assert_eq!(index.view().len(), messages);
    let began = Instant::now();
    for round in 0..100 {
        let mut change = Transaction::new();
        change.update_flags(&uids(&[1 + round * 900]), Flags::SEEN, Flags::NONE);
        index.lock().unwrap().synced_with(&change).unwrap();
    }
    let changed = began.elapsed();
    eprintln!("opened in {opened:?}, 100 changes in {changed:?}");
    assert!(opened.as_secs() < 5 && changed.as_secs() < 20);
}
