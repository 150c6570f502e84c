use std::fmt::Write;
use std::sync::Arc;

use base::{Uid, UidSet};

use super::*;

/// Fields of a message: Message-ID, References, Subject.
type Mail<'a> = (&'a str, &'a str, &'a str);

fn forest(mails: &[(String, i64)], algorithm: Algorithm) -> Forest {
    let uids = (1..=mails.len() as u32).filter_map(Uid::new).collect();
    let mut thread = Thread::new(uids, algorithm);
    for (fields, date) in mails {
        let facts = Facts { fields: Some(Arc::from(fields.as_bytes())), ..Facts::default() };
        thread.facts.push(&ThreadFacts::of(&facts, *date));
    }
    Arc::unwrap_or_clone(thread.finish())
}

fn of(mails: &[Mail<'_>], algorithm: Algorithm) -> Forest {
    let field = |name: &str, value: &str| match value {
        "" => String::new(),
        value => format!("{name}: {value}\n"),
    };
    let mails = mails.iter().zip(1..).map(|(&(id, references, subject), date)| {
        (field("Message-ID", id) + &field("References", references) + &field("Subject", subject), date)
    });
    forest(&mails.collect::<Vec<_>>(), algorithm)
}

fn show(forest: &Forest, nodes: std::ops::Range<usize>, out: &mut String) {
    for node in nodes.filter_map(|index| forest.node(index)) {
        write!(out, "({}", node.uid.map_or(0, Uid::get)).unwrap();
        show(forest, node.children.clone(), out);
        out.push(')');
    }
}

#[track_caller]
fn check(mails: &[Mail<'_>], references: &str, refs: &str, ordered_subject: &str) {
    let wanted = [
        (Algorithm::References, references),
        (Algorithm::Refs, refs),
        (Algorithm::OrderedSubject, ordered_subject),
    ];
    for (algorithm, want) in wanted {
        let forest = of(mails, algorithm);
        let mut got = String::new();
        show(&forest, forest.roots(), &mut got);
        assert_eq!(got, want, "{algorithm:?}");
    }
}

#[test]
fn answers() {
    let mails =
        [("<a@x>", "", "s"), ("<b@x>", "<a@x>", "Re: s"), ("<c@x>", "<a@x> <b@x>", "t"), ("", "", "s")];
    check(&mails, "(0(1(2(3)))(4))", "(1(2(3)))(4)", "(1(2)(4))(3)");
}

#[test]
fn what_is_missing() {
    let mails = [("<a@x>", "<gone@x>", "s"), ("<b@x>", "<gone@x> <too@x>", "t"), ("<c@x>", "<g@x>", "u")];
    check(&mails, "(0(1)(2))(3)", "(0(1)(2))(0(3))", "(1)(2)(3)");
    // Threads with the newest message last.
    let mails = [("<a@x>", "", "s"), ("<b@x>", "", "t"), ("<c@x>", "<a@x>", "u")];
    check(&mails, "(1(3))(2)", "(2)(1(3))", "(1)(2)(3)");
}

#[test]
fn same_subjects() {
    // A reply goes below what is none; two that are none become siblings.
    check(&[("", "", "Re: s"), ("", "", "s")], "(2(1))", "(1)(2)", "(1(2))");
    check(&[("", "", "s"), ("", "", "s"), ("", "", "s")], "(0(1)(2)(3))", "(1)(2)(3)", "(1(2)(3))");
    check(&[("", "", ""), ("", "", "Re:")], "(1)(2)", "(1)(2)", "(1(2))");
}

#[test]
fn loops_and_doubles() {
    let mails = [("<a@x>", "<b@x>", "s"), ("<b@x>", "<a@x>", "t"), ("<b@x>", "<a@x>", "u")];
    check(&mails, "(2(1(3)))", "(2(1(3)))", "(1)(2)(3)");
}

#[test]
fn one_long_chain() {
    let count = 100_000;
    for algorithm in [Algorithm::Refs, Algorithm::References] {
        let mail =
            |number: u32| format!("Message-ID: <{number}@x>\nReferences: <{}@x>\n", number.wrapping_sub(1));
        // From the end, so that each new link goes above a long chain.
        let mails: Vec<_> = (0..count).rev().map(|number| (mail(number), i64::from(number))).collect();
        let forest = forest(&mails, algorithm);
        let mut depth = 0;
        let mut nodes = forest.roots();
        while let Some(node) = nodes.next().and_then(|index| forest.node(index)) {
            assert!(nodes.is_empty());
            depth += u32::from(node.uid.is_some());
            nodes = node.children.clone();
        }
        assert_eq!(depth, count);
    }
}

#[test]
fn whole_threads() {
    let mails = [("<a@x>", "", "s"), ("<b@x>", "", "t"), ("<c@x>", "<a@x>", "u"), ("<d@x>", "<c@x>", "v")];
    let forest = of(&mails, Algorithm::Refs);
    let uids = |list: &[u32]| list.iter().filter_map(|&uid| Uid::new(uid)).collect::<UidSet>();
    assert_eq!(forest.threads_with(&uids(&[3])), uids(&[1, 3, 4]));
    assert_eq!(forest.threads_with(&uids(&[2, 9])), uids(&[2]));
    assert_eq!(forest.threads_with(&uids(&[])), uids(&[]));
}
