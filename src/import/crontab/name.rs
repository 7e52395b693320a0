//! A name for a line that has none.
//!
//! In: a command. Out: what a person would call it: the stem of the program it is about. Not here: making it unique.
//! The surprise: what most lines begin with is not what they are about (`cd`, `test -x`, `nice`, `flock`, `bash`), so that
//! is passed over.

/// Commands that only lead to another one.
const LEADS: &[&str] =
    &["cd", "test", "[", "[[", ".", "source", "sleep", "export", "set", "umask", "ulimit", "true", "if"];
/// Programs that run the program they are given.
const WRAPPERS: &[&str] = &[
    "bash", "chronic", "chrt", "command", "doas", "env", "exec", "ionice", "nice", "nohup", "perl", "php", "python",
    "python3", "root", "ruby", "node", "setsid", "sh", "sudo", "time", "timeout", "zsh", "(", "{", "!",
];
/// Those whose first word behind their options is a file of their own.
const WITH_FILE: &[&str] = &["flock", "setlock", "lckdo"];

/// The name; `None` when there is no word to make one of.
#[must_use]
pub fn of_command(command: &str) -> Option<String> {
    let segments: Vec<&str> =
        command.split(['&', ';', '|', '\n', '%']).filter(|part| !part.trim().is_empty()).collect();
    let own = |segment: &&str| of_segment(segment);
    let led = segments.iter().filter(|segment| !is_lead(segment)).find_map(own);
    led.or_else(|| segments.iter().find_map(own))
}

fn is_lead(segment: &str) -> bool {
    let inside = segment.trim_start_matches([' ', '\t', '{', '(']);
    inside.split_whitespace().next().is_some_and(|first| LEADS.contains(&first))
}

fn of_segment(segment: &str) -> Option<String> {
    let mut words = segment.split_whitespace().map(|word| word.trim_matches(['"', '\'', '(', ')', '{', '}', '`']));
    let mut found = None;
    while let Some(word) = words.next() {
        let program = word.rsplit('/').next().unwrap_or(word);
        let is_other = word.is_empty()
            || word.starts_with(['-', '>', '<', '$', '#'])
            || word.contains('=')
            || word.starts_with(|c: char| c.is_ascii_digit());
        if is_other {
            continue;
        }
        if WITH_FILE.contains(&program) {
            found.get_or_insert(program);
            words.by_ref().find(|word| !word.starts_with('-'));
            continue;
        }
        found = Some(program);
        if !WRAPPERS.contains(&program) {
            break;
        }
    }
    let stem = found.map(|program| program.rsplit_once('.').map_or(program, |(stem, _)| stem))?;
    stem.contains(|c: char| c.is_ascii_alphanumeric()).then(|| stem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::of_command;

    #[test]
    fn a_line_is_called_what_it_is_about() {
        for (command, name) in [
            ("/usr/local/bin/backup.sh --all", Some("backup")),
            ("cd /srv/app && ./run.py", Some("run")),
            ("test -x /usr/sbin/anacron || run-parts /etc/cron.daily", Some("run-parts")),
            ("[ -d /x ] && nice -n 10 /opt/tool", Some("tool")),
            ("test -x /a || { cd / && run-parts /b; }", Some("run-parts")),
            ("A=b C=d certbot renew", Some("certbot")),
            ("flock -n /tmp/x.lock timeout 10m ./sync", Some("sync")),
            ("/usr/bin/env python3 /srv/job.py", Some("job")),
            ("bash -c 'do it'", Some("do")),
            ("python3 -m http.server", Some("http")),
            ("cd /srv", Some("cd")),
            ("\"/srv/a\"", Some("a")),
            ("", None),
            ("--- 5", None),
        ] {
            assert_eq!(of_command(command).as_deref(), name, "{command}");
        }
    }
}
