//! What is said about texts that are no schedule.

use std::fmt::Write;

use expect_test::expect;
use setpoint::engine::schedule::Schedule;

#[test]
fn each_error_names_its_place_and_what_to_write() {
    let mut told = String::new();
    for text in [
        "",
        "   ",
        "0 3 * *",
        "0 0 3 * * *",
        "0 0 3 * * * 2026",
        "1 2 3 4 5 6 7 8",
        "0 3, 4 * * *",
        "@every 5m",
        "@noon",
        "@Daily",
        "@daily 5",
        "@reboot 5",
        "TZ=Europe/Berlin 0 3 * * *",
        "CRON_TZ=UTC 0 3 * * *",
        "0 22-2 * * *",
        "0 22-2/2 * * *",
        "0 0 28-3 * *",
        "0 0 * NOV-FEB *",
        "0 0 * * FRI-MON",
        "0 0 * * SAT-SUN/0",
        "0 0 * * 7-2",
        "5/15 * * * *",
        "0 0 * * 1/2",
        "60 * * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 32 * *",
        "0 0 * 13 *",
        "0 0 * 0 *",
        "0 0 * * 8",
        "0 0 * * MONDAY",
        "0 0 * March *",
        "0 0 * MON *",
        "0 0 * * JAN",
        "0 0 L * *",
        "0 0 15W * *",
        "0 0 * * 5#2",
        "0 0 ? * 1",
        "H * * * *",
        "-5 * * * *",
        "5- * * * *",
        "1-5-7 * * * *",
        "*-5 * * * *",
        "*5 * * * *",
        "1,,2 * * * *",
        "1, * * * *",
        ",1 * * * *",
        "*/0 * * * *",
        "*/ * * * *",
        "*/x * * * *",
        "*/2/3 * * * *",
        "/5 * * * *",
        "1.5 * * * *",
        "+5 * * * *",
        "x * * * *",
        "ä,ö * * * ü",
        "1234567890 * * * *",
        "*/1234567890 * * * *",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "30 2 31 2 */2",
        "0 3 * * \u{a0}*",
        "0 3 * *\n*",
        "0 3 * * *\u{7}",
        "mon tue wed thu fri",
        "0 0 * * aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        let error = Schedule::parse(text).expect_err(text);
        writeln!(told, "{text:?}\n  {error}").expect("text");
        // The column leads to the item.
        let found: String = text.chars().skip(error.column - 1).take(error.item.chars().count()).collect();
        let is_shown = error.item.ends_with('…') || error.item.contains('\u{fffd}') || found == error.item;
        assert!(is_shown || error.field == "schedule", "{text}: {error:?}");
    }
    let long = "1,".repeat(600);
    writeln!(told, "{}", Schedule::parse(&long).expect_err("too long")).expect("text");
    expect![[r#"
        ""
          schedule, column 1: `` is empty
          help: write five fields: minute hour day-of-month month day-of-week, as in `0 3 * * *`
        "   "
          schedule, column 1: `` is empty
          help: write five fields: minute hour day-of-month month day-of-week, as in `0 3 * * *`
        "0 3 * *"
          schedule, column 1: `0 3 * *` has 4 of five fields
          help: write five fields: minute hour day-of-month month day-of-week, as in `0 3 * * *`
        "0 0 3 * * *"
          schedule, column 1: `0 0 3 * * *` has 6 fields, not five
          help: seconds are not supported: write `0 3 * * *` if the first field is seconds, or use `every: 30s`
        "0 0 3 * * * 2026"
          schedule, column 1: `0 0 3 * * * 2026` has 7 fields, not five
          help: seconds are not supported: write `0 3 * * *` if the first field is seconds, or use `every: 30s`
        "1 2 3 4 5 6 7 8"
          schedule, column 1: `1 2 3 4 5 6 7 8` has 8 fields, not five
          help: write five fields: minute hour day-of-month month day-of-week, as in `0 3 * * *`
        "0 3, 4 * * *"
          schedule, column 3: `3,` ends with a comma
          help: write lists without spaces: `1,2,3`
        "@every 5m"
          schedule, column 1: `@every` is no schedule
          help: write `every: 15m` instead of `schedule`
        "@noon"
          schedule, column 1: `@noon` is no schedule
          help: write @hourly, @daily, @weekly, @monthly or @yearly, or five fields
        "@Daily"
          schedule, column 1: `@Daily` has capital letters
          help: write @daily
        "@daily 5"
          schedule, column 1: `@daily` stands alone, without fields after it
          help: write @daily or five fields: minute hour day-of-month month day-of-week, as in `0 3 * * *`
        "@reboot 5"
          schedule, column 1: `@reboot` stands alone, without fields after it
          help: write @reboot or five fields: minute hour day-of-month month day-of-week, as in `0 3 * * *`
        "TZ=Europe/Berlin 0 3 * * *"
          schedule, column 1: `TZ=Europe/Berlin` sets TZ, but a schedule holds times only
          help: name the zone beside it: `timeZone: Europe/Berlin`, or `--tz Europe/Berlin`
        "CRON_TZ=UTC 0 3 * * *"
          schedule, column 1: `CRON_TZ=UTC` sets CRON_TZ, but a schedule holds times only
          help: name the zone beside it: `timeZone: Europe/Berlin`, or `--tz Europe/Berlin`
        "0 22-2 * * *"
          hour, column 3: `22-2` runs backwards
          help: write `22-23,0-2`
        "0 22-2/2 * * *"
          hour, column 3: `22-2/2` runs backwards
          help: write `22,0,2`
        "0 0 28-3 * *"
          day of month, column 5: `28-3` runs backwards
          help: write `28-31,1-3`
        "0 0 * NOV-FEB *"
          month, column 7: `NOV-FEB` runs backwards
          help: write `NOV-DEC,JAN-FEB`
        "0 0 * * FRI-MON"
          day of week, column 9: `FRI-MON` runs backwards
          help: write `FRI-SUN,MON`
        "0 0 * * SAT-SUN/0"
          day of week, column 9: `SAT-SUN/0` has a step of 0
          help: write 1 or more after the slash
        "0 0 * * 7-2"
          day of week, column 9: `7-2` runs backwards
          help: write `0-2`
        "5/15 * * * *"
          minute, column 1: `5/15` has a step after a single number
          help: write `5-59/15`
        "0 0 * * 1/2"
          day of week, column 9: `1/2` has a step after a single number
          help: write `1-6/2`
        "60 * * * *"
          minute, column 1: `60` is not within 0 to 59
          help: write 0 to 59; the minute after 59 is 0 of the next hour
        "0 24 * * *"
          hour, column 3: `24` is not within 0 to 23
          help: write 0 to 23; midnight is 0
        "0 0 0 * *"
          day of month, column 5: `0` is not within 1 to 31
          help: write 1 to 31; days are counted from 1
        "0 0 32 * *"
          day of month, column 5: `32` is not within 1 to 31
          help: write 1 to 31; days are counted from 1
        "0 0 * 13 *"
          month, column 7: `13` is not within 1 to 12
          help: write 1 to 12, or JAN to DEC; January is 1, December 12
        "0 0 * 0 *"
          month, column 7: `0` is not within 1 to 12
          help: write 1 to 12, or JAN to DEC; January is 1, December 12
        "0 0 * * 8"
          day of week, column 9: `8` is not within 0 to 7
          help: write 0 to 7, or SUN to SAT; Sunday is 0 or 7, Saturday 6
        "0 0 * * MONDAY"
          day of week, column 9: `MONDAY` is no name: they have three letters
          help: write MON
        "0 0 * March *"
          month, column 7: `March` is no name: they have three letters
          help: write MAR
        "0 0 * MON *"
          month, column 7: `MON` is a day of the week
          help: it belongs into the fifth field; here write 1 to 12, or JAN to DEC
        "0 0 * * JAN"
          day of week, column 9: `JAN` is a month
          help: it belongs into the fourth field; here write 0 to 7, or SUN to SAT
        "0 0 L * *"
          day of month, column 5: `L` is of another dialect
          help: write 1 to 31; last days, nearest workdays and random times have no spelling
        "0 0 15W * *"
          day of month, column 5: `15W` is of another dialect
          help: write 1 to 31; last days, nearest workdays and random times have no spelling
        "0 0 * * 5#2"
          day of week, column 9: `5#2` is of another dialect
          help: write 0 to 7, or SUN to SAT; last days, nearest workdays and random times have no spelling
        "0 0 ? * 1"
          day of month, column 5: `?` is of another dialect
          help: write `*`
        "H * * * *"
          minute, column 1: `H` is of another dialect
          help: write 0 to 59; last days, nearest workdays and random times have no spelling
        "-5 * * * *"
          minute, column 1: `-5` is negative
          help: write 0 to 59
        "5- * * * *"
          minute, column 1: `5-` lacks an end
          help: write both ends: `0-59`
        "1-5-7 * * * *"
          minute, column 1: `1-5-7` has more than two ends
          help: write lists of ranges as `1-5,7-9`
        "*-5 * * * *"
          minute, column 1: `*-5` is no range
          help: write `*` alone, or two numbers: `0-59`
        "*5 * * * *"
          minute, column 1: `*5` has a star in it
          help: write `*` or `*/5`, with nothing else in it
        "1,,2 * * * *"
          minute, column 3: `,` lacks a number on one side
          help: write lists as `1,2,3`
        "1, * * * *"
          minute, column 2: `,` lacks a number on one side
          help: write lists as `1,2,3`
        ",1 * * * *"
          minute, column 1: `,` lacks a number on one side
          help: write lists as `1,2,3`
        "*/0 * * * *"
          minute, column 1: `*/0` has a step of 0
          help: write 1 or more after the slash
        "*/ * * * *"
          minute, column 1: `*/` lacks a number after the slash
          help: write a number after the slash: `*/5`
        "*/x * * * *"
          minute, column 1: `*/x` has a step that is no number
          help: write a number after the slash: `*/5`
        "*/2/3 * * * *"
          minute, column 1: `*/2/3` has a step that is no number
          help: write a number after the slash: `*/5`
        "/5 * * * *"
          minute, column 1: `/5` has nothing before the slash
          help: write `*/5`
        "1.5 * * * *"
          minute, column 1: `1.5` is no whole number
          help: write 0 to 59
        "+5 * * * *"
          minute, column 1: `+5` is no number
          help: write 0 to 59
        "x * * * *"
          minute, column 1: `x` is no number
          help: write 0 to 59
        "ä,ö * * * ü"
          minute, column 1: `ä` is no number
          help: write 0 to 59
        "1234567890 * * * *"
          minute, column 1: `1234567890` has more than nine digits
          help: write 0 to 59
        "*/1234567890 * * * *"
          minute, column 3: `1234567890` has more than nine digits
          help: write a smaller step
        "0 0 30 2 *"
          day of month, column 5: `30` never comes: no such month has such a day, so it never fires
          help: check day of month and month: February has 29 days at most
        "0 0 31 4,6,9,11 *"
          day of month, column 5: `31` never comes: no such month has such a day, so it never fires
          help: check day of month and month: February has 29 days at most
        "30 2 31 2 */2"
          day of month, column 6: `31` never comes: no such month has such a day, so it never fires
          help: check day of month and month: February has 29 days at most
        "0 3 * * \u{a0}*"
          schedule, column 9: `�` is no space (character 00A0)
          help: write spaces or tabs between fields, all in one line
        "0 3 * *\n*"
          schedule, column 8: `�` is no space (character 000A)
          help: write spaces or tabs between fields, all in one line
        "0 3 * * *\u{7}"
          schedule, column 10: `�` is no space (character 0007)
          help: write spaces or tabs between fields, all in one line
        "mon tue wed thu fri"
          minute, column 1: `mon` is a day of the week
          help: it belongs into the fifth field; here write 0 to 59
        "0 0 * * aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          day of week, column 9: `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…` is no number
          help: write 0 to 7, or SUN to SAT
        schedule, column 1: `1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,…` is longer than 1000 bytes
          help: write five fields: minute hour day-of-month month day-of-week, as in `0 3 * * *`
    "#]]
    .assert_eq(&told);
}
