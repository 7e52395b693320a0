//! What the tables of this suite are made of.

use std::fmt::Write;

use crate::world::World;

/// How many lines of a stream a table shows.
const LINES_SHOWN: usize = 12;

/// Each line as typed, its exit code, and the first lines of both streams.
pub fn transcript(world: &World, lines: &[&str]) -> String {
    let mut text = String::new();
    let us = setpoint::desired::principal();
    for line in lines {
        let said = world.shell(line);
        // Writing into a String cannot fail.
        _ = writeln!(text, "$ {line}");
        for (mark, stream) in [("  ", &said.out), ("! ", &said.err)] {
            for shown in world.plain(stream).replace(&us, "US").lines().take(LINES_SHOWN) {
                _ = writeln!(text, "{}", format!("{mark}{}", settled(shown)).trim_end());
            }
        }
        _ = writeln!(text, "= {}", said.code);
    }
    text
}

/// The line with what differs from run to run left out: pids, plan ids, moments, ages, and how long it is until then.
fn settled(line: &str) -> String {
    let mut before = "";
    let words = line.split(' ').map(|word| {
        let last = std::mem::replace(&mut before, word);
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_plan =
            bare.strip_prefix("p-").is_some_and(|id| id.len() == 6 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        let is_age = bare.strip_suffix('s').is_some_and(|age| age.contains('.') && is_number(&age.replace('.', "")));
        let is_moment = bare.len() == 20 && bare.starts_with("20") && bare.ends_with('Z') && !last.ends_with("or");
        let is_wait = bare.strip_suffix(['s', 'm']).is_some_and(is_number) && line.contains("next in");
        let stand_in = match () {
            () if is_wait && last == "in" => "SPAN",
            // The minute of the test may be the one that is due.
            () if bare == "now" && last == "next" => "in SPAN",
            () if is_plan => "PLAN",
            () if is_age => "AGE",
            () if is_moment => "WHEN",
            () if is_number(bare) && last.ends_with("pid") => "PID",
            () => return word.to_owned(),
        };
        word.replace(bare, stand_in)
    });
    words.collect::<Vec<_>>().join(" ")
}
