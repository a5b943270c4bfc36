//! Rules that cannot be.

use super::{Pattern, RulesBuilder};
use crate::error::{Error, ErrorKind, Result};

/// Refuses what contradicts itself, and what would put two keys of the source into one of the target.
pub(super) fn check(spec: &RulesBuilder) -> Result<()> {
    let wrong = |text: String| Err(Error::new(ErrorKind::Config, text));
    if !spec.only_dbs.is_empty() && spec.only_dbs.is_subset(&spec.without_dbs) {
        return wrong("the rules leave out every database that they take".into());
    }
    for slots in spec.only_slots.iter().chain(&spec.without_slots) {
        if slots.is_empty() || *slots.end() > 16383 {
            return wrong(format!("{} to {} are no slots: there are 0 to 16383", slots.start(), slots.end()));
        }
    }
    databases(spec)?;
    names(spec)
}

/// No two databases go into one.
fn databases(spec: &RulesBuilder) -> Result<()> {
    let wanted = |db: &u32| (spec.only_dbs.is_empty() || spec.only_dbs.contains(db)) && !spec.without_dbs.contains(db);
    let place = |db: &u32| spec.db_map.get(db).copied().unwrap_or(*db);
    for (from, to) in spec.db_map.iter().filter(|(from, _)| wanted(from)) {
        // Whatever goes there is in the map, in the list, or the database of that number itself.
        let others = spec.db_map.keys().chain(&spec.only_dbs).chain([to]);
        if let Some(other) = others.filter(|other| wanted(other)).find(|other| *other != from && place(other) == *to) {
            let text = format!(
                "databases {from} and {other} of the source would both go into database {to}: putting several into one is not \
                 supported yet. Map one of them to another database, or leave it out"
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
    }
    Ok(())
}

/// No two names become one.
fn names(spec: &RulesBuilder) -> Result<()> {
    let wrong = |text: String| Err(Error::new(ErrorKind::Config, text));
    let renames: Vec<_> = spec.renames.iter().filter(|(from, to)| from != to).collect();
    for (index, (from, to)) in spec.renames.iter().enumerate() {
        if spec.renames[..index].iter().any(|(other, place)| other == from && place != to) {
            return wrong(format!("prefix '{}' is renamed twice", from.escape_ascii()));
        }
    }
    for (index, (from, to)) in renames.iter().enumerate() {
        if let Some((other, place)) = renames[..index].iter().find(|(other, place)| other != from && overlap(place, to))
        {
            return wrong(format!(
                "renaming '{}' to '{}' and '{}' to '{}' could give two keys one name: choose names that do not begin alike",
                from.escape_ascii(),
                to.escape_ascii(),
                other.escape_ascii(),
                place.escape_ascii()
            ));
        }
        // A key that is called so already, is wanted and is not itself renamed.
        let renamed = |prefix: &[u8]| renames.iter().any(|(from, _)| prefix.starts_with(from));
        let left_out = spec.without_keys.iter().filter_map(|pattern| pattern.whole_prefix());
        let possible = if spec.only_keys.is_empty() {
            !renamed(to)
        } else {
            let beginnings = spec.only_keys.iter().map(Pattern::beginning);
            !renamed(to) && beginnings.into_iter().any(|beginning| overlap(beginning, to) && !renamed(beginning))
        };
        if possible && !left_out.into_iter().any(|prefix| to.starts_with(prefix)) {
            return wrong(format!(
                "renaming '{}' to '{}' could give a key the name of another one: leave out what begins with '{}' in the source, or take \
                 only what begins with '{}'",
                from.escape_ascii(),
                to.escape_ascii(),
                to.escape_ascii(),
                from.escape_ascii()
            ));
        }
    }
    Ok(())
}

fn overlap(one: &[u8], two: &[u8]) -> bool {
    one.starts_with(two) || two.starts_with(one)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::filter::Rules;

    fn kind(builder: RulesBuilder) -> Option<ErrorKind> {
        builder.build().err().map(|error| error.kind())
    }

    #[test]
    fn rules_that_could_give_two_keys_one_name_are_refused() {
        let b = Rules::builder;
        let config = Some(ErrorKind::Config);
        assert_eq!(kind(b().rename_prefix("a:", "b:")), config);
        assert_eq!(kind(b().rename_prefix("a:", "b:").without_keys(Pattern::prefix("b:"))), None);
        assert_eq!(kind(b().rename_prefix("a:", "b:").without_keys(Pattern::glob("b*"))), None);
        assert_eq!(kind(b().rename_prefix("a:", "b:").without_keys(Pattern::glob("b:?"))), config);
        assert_eq!(kind(b().rename_prefix("a:", "b:").only_keys(Pattern::glob("a:*"))), None);
        assert_eq!(kind(b().rename_prefix("a:", "b:").only_keys(Pattern::regex("^a:").unwrap())), config);
        // They change places.
        assert_eq!(kind(b().rename_prefix("a:", "b:").rename_prefix("b:", "a:")), None);
        // What is there stays behind what comes.
        assert_eq!(kind(b().rename_prefix("a:", "a:a:")), None);
        assert_eq!(kind(b().rename_prefix("", "x:")), None);
        assert_eq!(kind(b().rename_prefix("x:", "")), config);
        assert_eq!(kind(b().rename_prefix("x:", "").only_keys(Pattern::prefix("x:"))), None);
        let only = || b().only_keys(Pattern::prefix("a:")).only_keys(Pattern::prefix("b:"));
        assert_eq!(kind(only().rename_prefix("a:", "c:").rename_prefix("b:", "c:")), config);
        assert_eq!(kind(only().rename_prefix("a:", "c:").rename_prefix("b:", "d:")), None);
        assert_eq!(kind(only().rename_prefix("a:", "c:").rename_prefix("a:", "d:")), config);
    }

    #[test]
    fn databases_keep_apart() {
        let b = Rules::builder;
        let unsupported = Some(ErrorKind::Unsupported);
        assert_eq!(kind(b().map_db(1, 0)), unsupported);
        assert_eq!(kind(b().map_db(1, 0).without_db(0)), None);
        assert_eq!(kind(b().map_db(1, 0).map_db(0, 1)), None);
        assert_eq!(kind(b().only_db(1).map_db(1, 0)), None);
        assert_eq!(kind(b().only_db(1).only_db(2).map_db(1, 0).map_db(2, 0)), unsupported);
        assert_eq!(kind(b().only_db(1).without_db(1)), Some(ErrorKind::Config));
        assert_eq!(kind(b().only_slots(0..=16384)), Some(ErrorKind::Config));
    }
}
