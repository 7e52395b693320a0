//! The statements, as text: what keeps them the same for a larger database.

/// The SQL of all statements, by name.
pub fn statements() -> Vec<(String, String)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/statements.rs");
    let text = std::fs::read_to_string(path).expect("the source");
    let parts = text.split("const ").skip(1);
    let named = parts.map(|part| part.split_once(": &str =").expect("a statement"));
    named.map(|(name, rest)| (name.to_owned(), rest.split('"').nth(1).expect("its text").to_lowercase())).collect()
}

#[test]
fn parameters_are_numbered_in_the_order_in_which_they_occur() {
    let all = statements();
    assert!(all.len() > 20, "{}", all.len());
    for (name, sql) in all {
        let mut seen: Vec<usize> = Vec::new();
        for part in sql.split('$').skip(1) {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            let number = digits.parse().expect("a number");
            if !seen.contains(&number) {
                seen.push(number);
            }
        }
        assert_eq!(seen, (1..=seen.len()).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn no_statement_uses_what_only_sqlite_has() {
    let foreign =
        ["insert or", "replace into", "rowid", "glob", "ifnull", "datetime(", "strftime", "julianday", "pragma"];
    for (name, sql) in statements() {
        let found: Vec<&&str> = foreign.iter().filter(|word| sql.contains(**word)).collect();
        assert!(found.is_empty(), "{name} has {found:?}");
        assert!(!sql.contains('?'), "{name}: parameters are written $1");
    }
}
