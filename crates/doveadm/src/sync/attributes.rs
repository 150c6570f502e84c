//! Attributes of a mailbox, made the same on both sides. Nobody knows when they were changed: in a backup
//! those of the source count; otherwise what one side lacks it gets, and of two values the greater one
//! counts, which is the same one whoever asks.

use std::collections::BTreeMap;

use storage::Result;

use super::plan::Way;
use super::side::{Attribute, Levels, Side};

/// Does it, if both sides have a place for attributes.
pub(super) fn synchronize(
    here: &mut dyn Side,
    there: &mut dyn Side,
    levels: &Levels,
    way: Way,
) -> Result<()> {
    let (Some(own), Some(other)) = (here.attributes(levels)?, there.attributes(levels)?) else {
        return Ok(());
    };
    let [for_here, for_there] = differences(&own, &other, way);
    for_here.iter().try_for_each(|(attribute, set)| here.set_attribute(levels, attribute, *set))?;
    for_there.iter().try_for_each(|(attribute, set)| there.set_attribute(levels, attribute, *set))
}

/// What is to be set, or with `false` taken away, on each side.
fn differences(here: &[Attribute], there: &[Attribute], way: Way) -> [Vec<(Attribute, bool)>; 2] {
    let by_name = |all: &[Attribute]| -> BTreeMap<(bool, String), String> {
        all.iter().map(|one| ((one.shared, one.name.clone()), one.value.clone())).collect()
    };
    let (own, other) = (by_name(here), by_name(there));
    let mut changes: [Vec<(Attribute, bool)>; 2] = Default::default();
    let [for_here, for_there] = &mut changes;
    let attribute = |(shared, name): &(bool, String), value: &String| Attribute {
        shared: *shared,
        name: name.clone(),
        value: value.clone(),
    };
    for (key, value) in &own {
        let theirs = other.get(key);
        if theirs != Some(value) && (way != Way::Both || theirs.is_none_or(|theirs| theirs < value)) {
            for_there.push((attribute(key, value), true));
        }
    }
    for (key, value) in &other {
        match (way, own.get(key)) {
            (Way::Mirror, None) => for_there.push((attribute(key, value), false)),
            (Way::Both, mine) if mine.is_none_or(|mine| mine < value) => {
                for_here.push((attribute(key, value), true));
            }
            _ => {}
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Attribute> {
        let one = |word: &str| {
            let (name, value) = word.split_once('=').unwrap();
            Attribute { shared: false, name: name.to_owned(), value: value.to_owned() }
        };
        text.split_whitespace().map(one).collect()
    }

    fn told(changes: &[(Attribute, bool)]) -> String {
        let one = |(attribute, set): &(Attribute, bool)| match set {
            true => format!("{}={}", attribute.name, attribute.value),
            false => format!("-{}", attribute.name),
        };
        changes.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn check(way: Way, for_here: &str, for_there: &str) {
        let [here, there] = differences(&all("a=1 b=1 c=2 d=1"), &all("a=1 b=2 c=1 e=1"), way);
        assert_eq!((told(&here), told(&there)), (for_here.to_owned(), for_there.to_owned()));
    }

    #[test]
    fn each_way() {
        check(Way::Both, "b=2 e=1", "c=2 d=1");
        check(Way::There, "", "b=1 c=2 d=1");
        check(Way::Mirror, "", "b=1 c=2 d=1 -e");
    }
}
