//! Every path that a piece of code names, `use` trees spelled out.

/// All paths, like `std::time::Duration` and `super::plan::Action`.
pub fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = next_use(rest) {
        inline(&rest[..at], &mut found);
        let tree = &rest[at + 4..];
        let end = tree.find(';').unwrap_or(tree.len());
        spell_out("", &tree[..end], &mut found);
        rest = &tree[end..];
    }
    inline(rest, &mut found);
    found
}

fn next_use(code: &str) -> Option<usize> {
    code.match_indices("use ").map(|(at, _)| at).find(|at| {
        let before = code[..*at].trim_end_matches([' ', '\t']);
        before.is_empty() || before.ends_with(['\n', ';', '}', '{', ')']) || before.ends_with("pub")
    })
}

/// `a::{b, c::{d, e}}` is `a::b`, `a::c::d`, `a::c::e`.
fn spell_out(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let name = tree.split(" as ").next().unwrap_or(tree).trim().trim_start_matches("::");
        if !name.is_empty() {
            found.push(format!("{prefix}{name}").trim_end_matches("::self").to_owned());
        }
        return;
    };
    let prefix = format!("{prefix}{}", tree[..open].trim().trim_start_matches("::"));
    let inner = tree[open + 1..].trim_end().trim_end_matches('}');
    let (mut depth, mut from) = (0, 0);
    for (i, byte) in inner.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                spell_out(&prefix, &inner[from..i], found);
                from = i + 1;
            }
            _ => {}
        }
    }
    spell_out(&prefix, &inner[from..], found);
}

/// Paths of two names and more in running code.
fn inline(code: &str, found: &mut Vec<String>) {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for path in code.split(|c: char| !is_part(c)) {
        let path = path.trim_matches(':');
        if path.contains("::") && path.starts_with(|c: char| c.is_lowercase()) {
            found.push(path.to_owned());
        }
    }
}

/// Names of macros that are called, like `format`.
pub fn macros(code: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let calls = code.match_indices('!').filter(|(at, _)| code[at + 1..].starts_with(['(', '[', '{']));
    let names = calls.map(|(at, _)| {
        let before = &code[..at];
        &before[before.trim_end_matches(is_name).len()..]
    });
    names.filter(|name| !name.is_empty()).collect()
}
