//! Looks up who a payload runs as.
//!
//! In: `user` and `group` as written, a name or a number. Out: numbers, and what the base environment says of the
//! user. Not here: becoming that user, which is the shim's child's part.
//! The surprise: names are looked up here and not in the shim, since a directory on a network may take its time or
//! hang; so this runs off the loop.

use std::ffi::CString;
use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use crate::record::bounds::{GROUPS_MAX, Identity};

/// Who, and what its environment says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Somebody {
    /// None when it is who the controller is, so that nothing has to be changed.
    pub identity: Option<Identity>,
    /// What is known of the account; none when the number has none.
    pub account: Option<Account>,
}

/// The account of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// USER and LOGNAME.
    pub name: String,
    /// HOME.
    pub home: PathBuf,
    /// SHELL.
    pub shell: PathBuf,
}

/// Who the controller is.
#[derive(Clone, Copy, Debug)]
pub struct Us {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Us {
    /// This process.
    #[must_use]
    pub fn myself() -> Us {
        Us { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }
}

/// Looks up `user` and `group`; none of either is the controller's own.
///
/// # Errors
/// In words: no such user or group, or only root may do that.
pub fn look_up(user: Option<&str>, group: Option<&str>, us: Us) -> Result<Somebody, String> {
    let found = user.map(find_user).transpose()?;
    let wanted = group.map(find_group).transpose()?;
    let uid = found.as_ref().map_or(us.uid, |(uid, _)| *uid);
    let entry = found.as_ref().and_then(|(_, entry)| entry.as_ref());
    let gid = match (wanted, entry, user) {
        (Some(gid), _, _) => gid,
        (None, Some(entry), _) => entry.gid.as_raw(),
        (None, None, None) => us.gid,
        (None, None, Some(user)) => {
            return Err(format!("user {user} has no account here, so its group is not known; write `group` too"));
        }
    };
    let account =
        entry.map(|entry| Account { name: entry.name.clone(), home: entry.dir.clone(), shell: entry.shell.clone() });
    if (uid, gid) == (us.uid, us.gid) {
        return Ok(Somebody { identity: None, account });
    }
    if us.uid != 0 {
        let (what, name) = if uid == us.uid { ("group", group) } else { ("user", user) };
        let name = name.unwrap_or_default();
        return Err(format!(
            "{what} {name}: only root may start programs as somebody else; run the controller as root"
        ));
    }
    let groups = entry.map_or_else(|| Ok(vec![gid]), |entry| groups_of(&entry.name, gid))?;
    Ok(Somebody { identity: Some(Identity { uid, gid, groups }), account })
}

fn find_user(text: &str) -> Result<(u32, Option<User>), String> {
    let unsure = |errno: nix::Error| format!("user {text} cannot be looked up: {}", errno.desc());
    let by_name = User::from_name(text).map_err(unsure)?;
    match (by_name, text.parse::<u32>()) {
        (Some(entry), _) => Ok((entry.uid.as_raw(), Some(entry))),
        (None, Ok(uid)) => Ok((uid, User::from_uid(Uid::from_raw(uid)).map_err(unsure)?)),
        (None, Err(_)) => Err(format!("user {text}: there is no such user here; see: getent passwd")),
    }
}

fn find_group(text: &str) -> Result<u32, String> {
    let unsure = |errno: nix::Error| format!("group {text} cannot be looked up: {}", errno.desc());
    match (Group::from_name(text).map_err(unsure)?, text.parse::<u32>()) {
        (Some(entry), _) => Ok(entry.gid.as_raw()),
        (None, Ok(gid)) => Ok(gid),
        (None, Err(_)) => Err(format!("group {text}: there is no such group here; see: getent group")),
    }
}

fn groups_of(name: &str, gid: u32) -> Result<Vec<u32>, String> {
    let unsure = |what: &str| format!("the groups of user {name} cannot be looked up: {what}");
    let text = CString::new(name).map_err(|_| unsure("its name contains a NUL byte"))?;
    let groups = getgrouplist(&text, Gid::from_raw(gid)).map_err(|errno| unsure(errno.desc()))?;
    Ok(groups.into_iter().take(GROUPS_MAX).map(Gid::as_raw).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_looked_up() {
        let root = Us { uid: 0, gid: 0 };
        let me = Us { uid: 4_000_000_000, gid: 4_000_000_001 };
        let numbers = |somebody: Somebody| somebody.identity.map(|found| (found.uid, found.gid));
        let only_root = "only root may start programs as somebody else; run the controller as root";
        type Row<'a> = (Option<&'a str>, Option<&'a str>, Us, Result<Option<(u32, u32)>, String>);
        let table: &[Row<'_>] = &[
            (None, None, root, Ok(None)),
            (Some("root"), None, root, Ok(None)),
            (Some("0"), Some("0"), root, Ok(None)),
            (Some("4000000000"), Some("7"), root, Ok(Some((4_000_000_000, 7)))),
            (None, Some("7"), root, Ok(Some((0, 7)))),
            (
                Some("4000000000"),
                None,
                root,
                Err("user 4000000000 has no account here, so its group is not known; write `group` too".into()),
            ),
            (Some("no such"), None, root, Err("user no such: there is no such user here; see: getent passwd".into())),
            (None, Some("no such"), root, Err("group no such: there is no such group here; see: getent group".into())),
            (Some("4000000000"), Some("4000000001"), me, Ok(None)),
            (Some("root"), None, me, Err(format!("user root: {only_root}"))),
            (None, Some("7"), me, Err(format!("group 7: {only_root}"))),
        ];
        for (user, group, us, expected) in table {
            assert_eq!(&look_up(*user, *group, *us).map(numbers), expected, "{user:?} {group:?} for {us:?}");
        }
    }

    #[test]
    fn an_account_says_where_it_lives() {
        let found = look_up(Some("root"), None, Us { uid: 1, gid: 1 });
        assert!(found.is_err());
        let found = look_up(Some("root"), None, Us { uid: 0, gid: 0 }).expect("root is everywhere");
        let account = found.account.expect("an account");
        assert_eq!((account.name.as_str(), account.home.is_absolute()), ("root", true));
    }
}
