use super::*;

fn view(uids: &[u32]) -> View {
    let mut edit = View::empty(UidValidity::ONE, Uid::ONE).edit();
    for &uid in uids {
        assert!(edit.append(record(uid)));
    }
    edit.finish()
}

fn record(uid: u32) -> Record {
    Record::new(Uid::new(uid).unwrap())
}

fn uids(list: &[u32]) -> UidSet {
    list.iter().filter_map(|&uid| Uid::new(uid)).collect()
}

#[test]
fn record_is_small() {
    assert_eq!(size_of::<Record>(), 32);
}

#[test]
fn look_up_by_uid_and_sequence() {
    let all: Vec<u32> = (1..=1000).map(|n| n * 3).collect();
    let view = view(&all);
    for (index, &uid) in all.iter().enumerate() {
        let seq = Seq::from_index(index).unwrap();
        assert_eq!(view.uid(seq).map(Uid::get), Some(uid));
        assert_eq!(view.seq(Uid::new(uid).unwrap()), Some(seq));
        assert_eq!(view.seq(Uid::new(uid + 1).unwrap()), None);
    }
    let set = UidSet::from_range(Uid::new(2).unwrap(), Uid::new(10).unwrap());
    assert_eq!(view.seqs_of(&set).to_string(), "1:3");
    assert_eq!(view.uids_of(&view.seqs_of(&set)).to_string(), "3,6,9");
    assert_eq!(view.uid(Seq::new(1001).unwrap()), None);
    let tail = UidSet::from_range(Uid::new(2999).unwrap(), Uid::new(u32::MAX).unwrap());
    assert_eq!(view.seqs_of(&tail).to_string(), "1000");
}

#[test]
fn differences() {
    let all: Vec<u32> = (1..=1000).collect();
    let old = view(&all);
    let mut edit = old.edit();
    edit.remove(&uids(&[1, 500, 1000]));
    edit.update(&uids(&[2, 999]), |record| record.flags |= Flags::SEEN);
    assert!(edit.append(record(1001)));
    assert!(!edit.append(record(7)));
    let new = Arc::new(edit.finish());
    assert_eq!(new.len(), 998);
    let changes = View::diff(&old, &new);
    assert_eq!(changes.expunged, uids(&[1, 500, 1000]));
    assert_eq!(changes.appended, uids(&[1001]));
    assert_eq!(changes.flags_changed, uids(&[2, 999]));
    assert!(View::diff(&new, &new).is_empty());

    let kept = View::keeping_expunged(&old, &new);
    assert_eq!(kept.len(), 1001);
    let rest = View::diff(&kept, &new);
    assert_eq!((rest.expunged, rest.appended.is_empty()), (uids(&[1, 500, 1000]), true));
    assert!(rest.flags_changed.is_empty());
}

#[test]
fn keyword_sets() {
    let mut set: KeywordSet = [1, 63, 64, 200].into_iter().collect();
    assert_eq!(set.iter().collect::<Vec<_>>(), [1, 63, 64, 200]);
    set.remove(200);
    set.remove(64);
    assert_eq!(set, [63, 1].into_iter().collect());
    assert!(set.contains(63) && !set.contains(64) && !set.contains(9999));
}

#[test]
fn flags_are_counted_as_they_are_now() {
    let check = |view: &View| {
        for (has, lacks) in [
            (Flags::NONE, Flags::SEEN),
            (Flags::SEEN, Flags::NONE),
            (Flags::DELETED, Flags::SEEN),
            (Flags::NONE, Flags::NONE),
            (Flags::SEEN, Flags::SEEN),
        ] {
            let fits = |record: &&Record| record.flags.has(has) && !record.flags.intersects(lacks);
            let slow: Vec<Uid> = view.records().filter(fits).map(|record| record.uid).collect();
            let fast: Vec<Uid> = view.records_flagged(has, lacks).map(|record| record.uid).collect();
            assert_eq!((fast.len() as u32, &fast), (view.count(has, lacks), &slow), "{has:?} {lacks:?}");
        }
        let unseen = view.records().position(|record| !record.flags.has(Flags::SEEN));
        assert_eq!(view.first_unseen(), unseen.and_then(Seq::from_index));
    };
    let mut now = view(&(1..=1000).collect::<Vec<u32>>());
    check(&now);
    let steps: [&dyn Fn(&mut Edit); 5] = [
        &|edit| edit.update_all(|record| record.flags |= Flags::SEEN),
        &|edit| edit.update(&uids(&[300, 700]), |record| record.flags = Flags::DELETED),
        &|edit| edit.remove(&uids(&[300])),
        &|edit| {
            edit.append(record(2000));
        },
        &|edit| {
            edit.update_one(Uid::new(700).unwrap(), |record| record.flags |= Flags::SEEN);
        },
    ];
    for step in steps {
        // Nobody else may have the chunks.
        let mut edit = now.edit();
        drop(std::mem::replace(&mut now, view(&[])));
        step(&mut edit);
        now = edit.finish();
        check(&now);
    }
}
