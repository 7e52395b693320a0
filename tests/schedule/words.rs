//! Schedules in words, and what is warned of.

use std::fmt::Write;
use std::time::Duration;

use expect_test::expect;
use setpoint::engine::schedule::Schedule;

use crate::{at, schedule, zone};

#[test]
fn schedules_are_told_in_words() {
    let mut told = String::new();
    for text in [
        "* * * * *",
        "*/5 * * * *",
        "*/40 * * * *",
        "1-59/2 * * * *",
        "@hourly",
        "13 * * * *",
        "13 * 5 * *",
        "1-5,10 * * * *",
        "0-30/10 * * * *",
        "0 */2 * * *",
        "0 */5 * * *",
        "5 */6 * * *",
        "0,30 */6 * * *",
        "* 3 * * *",
        "* 9-17 * * *",
        "* 9,12 * * *",
        "*/15 9-17 * * 1-5",
        "*/15 9 * * *",
        "0 3 * * *",
        "0 9,12,17 * * *",
        "0,30 9-17 * * *",
        "0 9-17 * * *",
        "0 3 * * 1-5",
        "0 3 * * MON-FRI",
        "0 3 * * 0",
        "0 3 * * 6,0",
        "0 3 * * 1,3,5",
        "0 3 1 * *",
        "0 3 1,15 * *",
        "0 3 22-24 * *",
        "0 3 29 2 *",
        "0 3 * 6-8 *",
        "0 3 * 6 1",
        "0 3 1 1,7 *",
        "0 0 13 * 5",
        "0 0 13 6 5",
        "0 0 */2 * 5",
        "0 0 1-31 * 5",
        "0 0 * * 0-6",
        "*/10 * * 12 *",
        "@yearly",
        "@monthly",
        "@weekly",
        "@reboot",
    ] {
        writeln!(told, "{text:<18} {}", schedule(text).words()).expect("text");
    }
    let mut several = schedule("0 9 * * 1-5");
    several.add("0 12 * * 6,7").expect("a schedule");
    writeln!(told, "{:<18} {}", "several", several.words()).expect("text");
    writeln!(told, "{:<18} {}", "every", Schedule::every(Duration::from_secs(900)).words()).expect("text");
    writeln!(told, "{:<18} {}", "none", Schedule::default().words()).expect("text");
    expect![[r#"
        * * * * *          every minute
        */5 * * * *        every 5 minutes
        */40 * * * *       at minutes 0 and 40 of every hour
        1-59/2 * * * *     at minutes 1, 3, 5 and so on to 59 of every hour
        @hourly            every hour, on the hour
        13 * * * *         at minute 13 of every hour
        13 * 5 * *         at minute 13 of every hour on the 5th of the month
        1-5,10 * * * *     at minutes 1 to 5 and 10 of every hour
        0-30/10 * * * *    at minutes 0, 10, 20 and 30 of every hour
        0 */2 * * *        every 2 hours from 00:00
        0 */5 * * *        at 00:00, 05:00, 10:00, 15:00 and 20:00 every day
        5 */6 * * *        at minute 5, every 6 hours from 00:00
        0,30 */6 * * *     at minutes 0 and 30, every 6 hours from 00:00
        * 3 * * *          every minute from 03:00 to 03:59
        * 9-17 * * *       every minute from 09:00 to 17:59
        * 9,12 * * *       every minute of the hours 9 and 12
        */15 9-17 * * 1-5  every 15 minutes from 09:00 to 17:45 on Monday to Friday
        */15 9 * * *       at 09:00, 09:15, 09:30 and 09:45 every day
        0 3 * * *          at 03:00 every day
        0 9,12,17 * * *    at 09:00, 12:00 and 17:00 every day
        0,30 9-17 * * *    every 30 minutes from 09:00 to 17:30
        0 9-17 * * *       every hour from 09:00 to 17:00
        0 3 * * 1-5        at 03:00 on Monday to Friday
        0 3 * * MON-FRI    at 03:00 on Monday to Friday
        0 3 * * 0          at 03:00 on Sunday
        0 3 * * 6,0        at 03:00 on Saturday and Sunday
        0 3 * * 1,3,5      at 03:00 on Monday, Wednesday and Friday
        0 3 1 * *          at 03:00 on the 1st of the month
        0 3 1,15 * *       at 03:00 on the 1st and 15th of the month
        0 3 22-24 * *      at 03:00 on the 22nd to 24th of the month
        0 3 29 2 *         at 03:00 on the 29th of February
        0 3 * 6-8 *        at 03:00 every day in June to August
        0 3 * 6 1          at 03:00 on Monday in June
        0 3 1 1,7 *        at 03:00 on the 1st of January and July
        0 0 13 * 5         at 00:00 on the 13th of the month and on every Friday
        0 0 13 6 5         at 00:00 on the 13th of the month and on every Friday, in June
        0 0 */2 * 5        at 00:00 on Friday when that is the 1st, 3rd, 5th and so on to 31st
        0 0 1-31 * 5       at 00:00 every day
        0 0 * * 0-6        at 00:00 every day
        */10 * * 12 *      every 10 minutes in December
        @yearly            at 00:00 on the 1st of January
        @monthly           at 00:00 on the 1st of the month
        @weekly            at 00:00 on Sunday
        @reboot            once after each boot
        several            at 09:00 on Monday to Friday; and at 12:00 on Saturday and Sunday
        every              every 15m, counted from the first apply
        none               never
    "#]]
    .assert_eq(&told);
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let mut told = String::new();
    for (text, name, from) in [
        ("0 3 * * *", "Europe/Berlin", "2026-11-21T00:00:00Z"),
        ("0 3 1 * 5", "UTC", "2026-11-21T00:00:00Z"),
        ("0 3 */2 * 5", "UTC", "2026-11-21T00:00:00Z"),
        ("0 3 1-7 * */2", "UTC", "2026-11-21T00:00:00Z"),
        ("0 3 31 2 5", "UTC", "2026-11-21T00:00:00Z"),
        ("0 3 1-31 * 5", "UTC", "2026-11-21T00:00:00Z"),
        ("*/90 * * * *", "UTC", "2026-11-21T00:00:00Z"),
        ("0 9-17/10,3 * * *", "UTC", "2026-11-21T00:00:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-11-21T00:00:00Z"),
        ("30 2 * * 1", "Europe/Berlin", "2026-11-21T00:00:00Z"),
        ("0 0 * * *", "America/Sao_Paulo", "2017-10-01T00:00:00Z"),
        ("0 12 * * *", "Pacific/Apia", "2011-12-01T00:00:00Z"),
        ("*/30 * * * *", "Europe/Berlin", "2026-11-21T00:00:00Z"),
    ] {
        writeln!(told, "{text} in {name}").expect("text");
        let schedule = schedule(text);
        for warning in schedule.warnings(at(from), &zone(name)) {
            writeln!(told, "  warning: {warning}").expect("text");
        }
        for note in schedule.clock_notes(at(from), &zone(name)) {
            writeln!(told, "  note: {note}").expect("text");
        }
    }
    expect![[r#"
        0 3 * * * in Europe/Berlin
          note: on 2027-03-28 clocks go forward from 02:00 to 03:00
          note: on 2027-10-31 clocks go back from 03:00 to 02:00
        0 3 1 * 5 in UTC
          warning: it runs on the 1st AND on every Friday, since both day fields are restricted
        0 3 */2 * 5 in UTC
          warning: it runs on Friday only when that is the 1st, 3rd, 5th and so on to 31st: where a day field begins with a star, both have to match
        0 3 1-7 * */2 in UTC
          warning: it runs on Tuesday, Thursday, Saturday and Sunday only when that is the 1st to 7th: where a day field begins with a star, both have to match
        0 3 31 2 5 in UTC
          warning: the 31st never comes in those months, so it runs on Friday alone
        0 3 1-31 * 5 in UTC
          warning: it runs every day: both day fields are restricted, so either is enough, and one names every day
        */90 * * * * in UTC
          warning: the step of `*/90` is longer than its range, so that is minute 0 alone
        0 9-17/10,3 * * * in UTC
          warning: the step of `9-17/10` is longer than its range, so that is hour 9 alone
        30 2 * * * in Europe/Berlin
          warning: 2027-03-28 02:30 does not exist in Europe/Berlin, where clocks go forward from 02:00 to 03:00; it runs at 03:00, once
          warning: 2027-10-31 02:30 comes twice in Europe/Berlin, where clocks go back from 03:00 to 02:00; it runs the first time only
          note: on 2027-03-28 clocks go forward from 02:00 to 03:00
          note: on 2027-10-31 clocks go back from 03:00 to 02:00
        30 2 * * 1 in Europe/Berlin
          note: on 2027-03-28 clocks go forward from 02:00 to 03:00
          note: on 2027-10-31 clocks go back from 03:00 to 02:00
        0 0 * * * in America/Sao_Paulo
          warning: 2017-10-15 00:00 does not exist in America/Sao_Paulo, where clocks go forward from 00:00 to 01:00; it runs at 01:00, once
          warning: 2018-11-04 00:00 does not exist in America/Sao_Paulo, where clocks go forward from 00:00 to 01:00; it runs at 01:00, once
          note: on 2017-10-15 clocks go forward from 00:00 to 01:00
          note: on 2018-02-18 clocks go back from 00:00 to 2018-02-17 23:00
          note: on 2018-11-04 clocks go forward from 00:00 to 01:00
        0 12 * * * in Pacific/Apia
          warning: 2011-12-30 12:00 does not exist in Pacific/Apia, where clocks go forward from 00:00 to 2011-12-31 00:00; it does not run
          note: on 2011-12-30 clocks go forward from 00:00 to 2011-12-31 00:00
          note: on 2012-04-01 clocks go back from 04:00 to 03:00
          note: on 2012-09-30 clocks go forward from 03:00 to 04:00
        */30 * * * * in Europe/Berlin
          note: on 2027-03-28 clocks go forward from 02:00 to 03:00; what a star names in between is left out
          note: on 2027-10-31 clocks go back from 03:00 to 02:00; what a star names in between comes twice
    "#]].assert_eq(&told);
}
