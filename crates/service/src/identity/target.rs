//! Which identity a user's session runs under, and whether it may.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use ipc::control;
use settings::{Settings, key};
use sys::privilege::{Identity, PrivilegeError};

use crate::authmaster::User;

/// An identity with everything that makes it differ from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) identity: Identity,
    /// Empty for none.
    pub(crate) chroot: String,
}

impl Target {
    /// The identity of `user`, with the groups of the process that takes it on, if it was born with
    /// some. Where it is chrooted by its home (`/chroot/./home`), the home in its
    /// fields becomes the one seen from inside.
    ///
    /// # Errors
    /// What the log says, in 2.3's words.
    pub(crate) fn of(
        user: &mut User,
        settings: &Settings,
        born: Option<&control::Identity>,
    ) -> Result<Self, String> {
        let uid = uid_of(user, settings)?;
        let gid = gid_of(user, settings, uid)?;
        let mut extra = born.map_or_else(Vec::new, |identity| identity.extra_gids.clone());
        if let Some(name) = user.field("system_groups_user") {
            let groups = sys::accounts::groups_of(name, gid);
            extra.extend(groups.map_err(|error| format!("initgroups({name}) failed: {error}"))?);
        }
        for group in settings.get(key::MAIL_ACCESS_GROUPS).split([',', ' ']).filter(|group| !group.is_empty())
        {
            extra.push(group_id(group, "in mail_access_groups setting")?);
        }
        extra.sort_unstable();
        extra.dedup();
        let saved_gid = match settings.get(key::MAIL_PRIVILEGED_GROUP) {
            "" => born.and_then(|identity| identity.privileged_gid),
            group => Some(group_id(group, "in mail_privileged_group setting")?),
        };
        let chroot = chroot_of(user, settings)?;
        check_home(user, settings)?;
        Ok(Self { identity: Identity { uid, gid, extra_gids: extra, saved_gid }, chroot })
    }

    /// Whether [`of`](Self::of) would take what is known of `user`; an uid or gid that is nowhere may follow.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn check(mut user: User, settings: &Settings) -> Result<(), String> {
        named_uid(&user, settings)?;
        named_gid(&user, settings)?;
        chroot_of(&mut user, settings)?;
        check_home(&user, settings)
    }

    /// Becomes it, for good.
    pub(crate) fn take(&self) -> Result<(), PrivilegeError> {
        if !self.chroot.is_empty() {
            sys::privilege::chroot(self.chroot.as_ref())?;
        }
        sys::privilege::take_identity(&self.identity)
    }

    /// A name for it that is a file name; equal for equal identities only.
    pub(crate) fn key(&self) -> String {
        let Identity { uid, gid, extra_gids, saved_gid } = &self.identity;
        let mut hasher = DefaultHasher::new();
        (extra_gids, saved_gid, &self.chroot).hash(&mut hasher);
        format!("{uid}-{gid}-{:016x}", hasher.finish())
    }
}

fn uid_of(user: &User, settings: &Settings) -> Result<u32, String> {
    match named_uid(user, settings)? {
        Some(uid) => Ok(uid),
        None if sys::privilege::effective_uid() != 0 => Ok(sys::privilege::effective_uid()),
        None => Err("Couldn't drop privileges: User is missing UID (see mail_uid setting)".to_owned()),
    }
}

fn gid_of(user: &User, settings: &Settings, uid: u32) -> Result<u32, String> {
    match named_gid(user, settings)? {
        Some(gid) => Ok(gid),
        None if uid == sys::privilege::effective_uid() => Ok(sys::privilege::effective_gid()),
        None => Err("Couldn't drop privileges: User is missing GID (see mail_gid setting)".to_owned()),
    }
}

/// The uid that a userdb or the setting names, if mail may be accessed with it.
fn named_uid(user: &User, settings: &Settings) -> Result<Option<u32>, String> {
    let (uid, origin) = match (user.field("uid"), settings.get(key::MAIL_UID)) {
        (Some(uid), _) => {
            (uid.parse().map_err(|_| format!("Invalid UID value in userdb lookup: {uid}"))?, "userdb lookup")
        }
        (None, "") => return Ok(None),
        (None, text) => match text.parse().ok().or_else(|| Some(sys::accounts::user(text).ok()??.uid)) {
            Some(uid) => (uid, "mail_uid setting"),
            None => return Err(format!("Unknown UNIX UID user: {text} (from mail_uid setting)")),
        },
    };
    let range = (settings.get(key::FIRST_VALID_UID), settings.get(key::LAST_VALID_UID));
    check_id("UID", uid, origin, range)?;
    Ok(Some(uid))
}

/// The same for the gid.
fn named_gid(user: &User, settings: &Settings) -> Result<Option<u32>, String> {
    let (gid, origin) = match (user.field("gid"), settings.get(key::MAIL_GID)) {
        (Some(gid), _) => {
            (gid.parse().map_err(|_| format!("Invalid GID value in userdb lookup: {gid}"))?, "userdb lookup")
        }
        (None, "") => return Ok(None),
        (None, text) => (group_id(text, "from mail_gid setting")?, "mail_gid setting"),
    };
    let range = (settings.get(key::FIRST_VALID_GID), settings.get(key::LAST_VALID_GID));
    check_id("GID", gid, origin, range)?;
    Ok(Some(gid))
}

/// `origin` says where the name stands.
fn group_id(group: &str, origin: &str) -> Result<u32, String> {
    if let Ok(gid) = group.parse() {
        return Ok(gid);
    }
    match sys::accounts::group_id(group) {
        Ok(Some(gid)) => Ok(gid),
        _ => Err(format!("Unknown UNIX GID group: {group} ({origin})")),
    }
}

/// `first_valid_uid` and its kin. They protect from root and system users; a process that is not
/// root can only be itself, which is as valid as it gets.
fn check_id(what: &str, id: u32, origin: &str, (first, last): (u64, u64)) -> Result<(), String> {
    let is_valid = u64::from(id) >= first && (last == 0 || u64::from(id) <= last);
    if is_valid || sys::privilege::effective_uid() != 0 {
        return Ok(());
    }
    let setting = what.to_ascii_lowercase();
    Err(format!(
        "Mail access for users with {what} {id} not permitted (see first_valid_{setting} in config file, \
         {setting} from {origin})."
    ))
}

/// What is relative to a home that is relative would be relative to wherever the process is.
fn check_home(user: &User, settings: &Settings) -> Result<(), String> {
    let home = user.field("home").unwrap_or_else(|| settings.get(key::MAIL_HOME));
    match home.is_empty() || home.starts_with(['/', '%']) {
        true => Ok(()),
        false => Err(format!("Relative home directory paths not supported: {home}")),
    }
}

fn chroot_of(user: &mut User, settings: &Settings) -> Result<String, String> {
    let valid_dirs = settings.get(key::VALID_CHROOT_DIRS);
    let mut named = user.field("chroot").map(str::to_owned);
    // Without `valid_chroot_dirs` such a home is a path like any other.
    if named.is_none() && !valid_dirs.is_empty() {
        named = user.fields.iter_mut().find(|(name, _)| name == "home").and_then(|(_, home)| {
            let (root, inside) = home.split_once("/./")?;
            let (root, inside) = (root.to_owned(), format!("/{}", inside.trim_start_matches('/')));
            *home = inside;
            Some(root)
        });
    }
    let Some(chroot) = named else {
        // `valid_chroot_dirs` is about what a userdb says, not about the administrator's own setting.
        let chroot = expanded(settings.get(key::MAIL_CHROOT), user)?;
        return Ok(if chroot == "/" { String::new() } else { chroot });
    };
    if chroot.is_empty() || chroot == "/" {
        return Ok(String::new());
    }
    let allowed = valid_dirs.split([':', ',']).any(|allowed| {
        let allowed = allowed.trim_end_matches('/');
        chroot
            .strip_prefix(allowed)
            .is_some_and(|rest| !allowed.is_empty() && (rest.is_empty() || rest.starts_with('/')))
    });
    match allowed && !chroot.split('/').any(|part| part == "..") {
        true => Ok(chroot),
        false => Err(format!(
            "Invalid settings in userdb: userdb returned invalid chroot directory: {chroot} \
             (see valid_chroot_dirs setting)"
        )),
    }
}

fn expanded(template: &str, user: &User) -> Result<String, String> {
    let (name, domain) = user.name.split_once('@').unwrap_or((&user.name, ""));
    let table = [
        ('u', "user", Some(user.name.as_str())),
        ('n', "username", Some(name)),
        ('d', "domain", Some(domain)),
        ('h', "home", user.field("home")),
    ];
    let expander = settings::vars::Expander::of(&table);
    expander.expand(template).map_err(|error| format!("Failed to expand mail_chroot '{template}': {error}"))
}

#[cfg(test)]
mod tests {
    use settings::Snapshot;

    use super::*;

    fn check(config: &str, fields: &[(&str, &str)], expected: Result<(u32, u32, &str), &str>) {
        let settings = Snapshot::from_text(config).unwrap().root();
        let fields = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut user = User { name: "joe".into(), fields };
        let target = Target::of(&mut user, &settings, None);
        let seen = target.as_ref().map(|t| (t.identity.uid, t.identity.gid, t.chroot.as_str()));
        assert_eq!(seen.map_err(String::as_str), expected);
    }

    #[test]
    fn identities() {
        check("", &[("uid", "5000"), ("gid", "5001")], Ok((5000, 5001, "")));
        check("mail_uid = 7000\nmail_gid = 7001\n", &[], Ok((7000, 7001, "")));
        check("", &[("uid", "x"), ("gid", "1")], Err("Invalid UID value in userdb lookup: x"));
        check(
            "valid_chroot_dirs = /srv\n",
            &[("uid", "5000"), ("gid", "5000"), ("home", "/srv/joe/./mail")],
            Ok((5000, 5000, "/srv/joe")),
        );
        check("mail_chroot = /x\n", &[("uid", "5000"), ("gid", "5000")], Ok((5000, 5000, "/x")));
        check("mail_chroot = /x/%u\n", &[("uid", "5000"), ("gid", "5000")], Ok((5000, 5000, "/x/joe")));
        check(
            "valid_chroot_dirs = /srv\n",
            &[("uid", "5000"), ("gid", "5000"), ("chroot", "/srvx")],
            Err("Invalid settings in userdb: userdb returned invalid chroot directory: /srvx \
                 (see valid_chroot_dirs setting)"),
        );
        // A home is a home where nobody may be chrooted by it.
        check("", &[("uid", "5000"), ("gid", "5000"), ("home", "/srv/joe/./mail")], Ok((5000, 5000, "")));
        // What a userdb says goes before the setting.
        check(
            "valid_chroot_dirs = /srv\nmail_chroot = /x\n",
            &[("uid", "5000"), ("gid", "5000"), ("home", "/srv/joe/./mail")],
            Ok((5000, 5000, "/srv/joe")),
        );
    }

    #[test]
    fn who_may_be_served() {
        let ids = |uid| [("uid", uid), ("gid", "5000")];
        // Processes that are not root are not held to these.
        if sys::privilege::effective_uid() == 0 {
            let config = "last_valid_uid = 6000\nfirst_valid_gid = 5000\n";
            let refused = |what, id, setting| {
                format!(
                    "Mail access for users with {what} {id} not permitted (see first_valid_{setting} in config \
                     file, {setting} from userdb lookup)."
                )
            };
            check(config, &ids("499"), Err(&refused("UID", 499, "uid")));
            check(config, &ids("6000"), Ok((6000, 5000, "")));
            check(config, &ids("6001"), Err(&refused("UID", 6001, "uid")));
            check(config, &[("uid", "5000"), ("gid", "4999")], Err(&refused("GID", 4999, "gid")));
        }
        let at = |home| [("uid", "5000"), ("gid", "5000"), ("home", home)];
        check("", &at("mail/joe"), Err("Relative home directory paths not supported: mail/joe"));
        check("", &at("~/mail"), Err("Relative home directory paths not supported: ~/mail"));
        check("mail_home = joe\n", &ids("5000"), Err("Relative home directory paths not supported: joe"));
        check("mail_home = joe\n", &at("/home/joe"), Ok((5000, 5000, "")));
    }

    #[test]
    fn keys_differ_where_identities_do() {
        let target = |gid, chroot: &str| Target {
            identity: Identity { uid: 1, gid, ..Identity::default() },
            chroot: chroot.to_owned(),
        };
        assert_eq!(target(1, "").key(), target(1, "").key());
        assert_ne!(target(1, "").key(), target(2, "").key());
        assert_ne!(target(1, "").key(), target(1, "/x").key());
    }
}
