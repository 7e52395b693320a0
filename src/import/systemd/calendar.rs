//! Calendar expressions of systemd as schedules.
//!
//! In: `Mon..Fri *-*-* 08:00:00`. Out: five fields and maybe a zone, or why it cannot be said so. Not here: timers that
//! count from something that happened.
//! The surprise: systemd asks for the weekday and the date, and cron for one of the two when both are given, so an
//! expression with both is refused unless one of them has a step from its first value on, which cron takes for a star.

/// An expression in five fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Minute, hour, day of month, month, day of week.
    pub schedule: String,
    /// The zone it names.
    pub zone: Option<String>,
}

/// Short words, as systemd.time lists them.
const WORDS: &[(&str, &str)] = &[
    ("minutely", "* * * * *"),
    ("hourly", "0 * * * *"),
    ("daily", "0 0 * * *"),
    ("weekly", "0 0 * * 1"),
    ("monthly", "0 0 1 * *"),
    ("quarterly", "0 0 1 1,4,7,10 *"),
    ("semiannually", "0 0 1 1,7 *"),
    ("semi-annually", "0 0 1 1,7 *"),
    ("annually", "0 0 1 1 *"),
    ("yearly", "0 0 1 1 *"),
];

const DAYS: &[&str] = &["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const SECONDS: &str = "a schedule names minutes; for shorter steps there is `every`";
const FORM: &str = "it is no calendar expression that setpoint can read";

/// Turns an expression into a schedule.
///
/// # Errors
/// Why it cannot be said in five fields.
pub fn of(text: &str) -> Result<Calendar, &'static str> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let zone = words.last().filter(|word| is_zone(word)).map(|word| (*word).to_owned());
    if zone.is_some() {
        words.pop();
    }
    if let [word] = words.as_slice()
        && let Some((_, schedule)) = WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word))
    {
        return Ok(Calendar { schedule: (*schedule).to_owned(), zone });
    }
    let (mut days, mut date, mut time) = (None, None, None);
    for word in words {
        let place = match word {
            _ if word.starts_with(|c: char| c.is_ascii_alphabetic()) => &mut days,
            _ if word.contains(':') => &mut time,
            _ => &mut date,
        };
        if place.replace(word).is_some() {
            return Err(FORM);
        }
    }
    if days.is_none() && date.is_none() && time.is_none() {
        return Err(FORM);
    }
    let (minute, hour) = time.map_or(Ok(("0".to_owned(), "0".to_owned())), time_of)?;
    let (day, month) = date.map_or(Ok(("*".to_owned(), "*".to_owned())), date_of)?;
    let weekday = days.map_or(Ok("*".to_owned()), days_of)?;
    if !day.starts_with('*') && !weekday.starts_with('*') {
        return Err("it asks for a weekday and a date at once, and a schedule takes either of them");
    }
    Ok(Calendar { schedule: format!("{minute} {hour} {day} {month} {weekday}"), zone })
}

/// `UTC`, `Europe/Berlin`; weekdays and short words are none.
fn is_zone(word: &str) -> bool {
    word == "UTC" || (word.contains('/') && word.starts_with(|c: char| c.is_ascii_alphabetic()) && !word.contains(':'))
}

/// `08:00`, `*:0/15:00`.
fn time_of(text: &str) -> Result<(String, String), &'static str> {
    let parts: Vec<&str> = text.split(':').collect();
    let (hour, minute) = match parts.as_slice() {
        [hour, minute] => (hour, minute),
        [hour, minute, second] if second.bytes().all(|b| b == b'0') && !second.is_empty() => (hour, minute),
        [_, _, _] => return Err(SECONDS),
        _ => return Err(FORM),
    };
    Ok((component(minute, 0, 59)?, component(hour, 0, 23)?))
}

/// `*-*-01`, `*-01,07-1..7`, `10-31`.
fn date_of(text: &str) -> Result<(String, String), &'static str> {
    if text.contains('~') {
        return Err("a schedule cannot count from the end of a month");
    }
    let parts: Vec<&str> = text.split('-').collect();
    let (month, day) = match parts.as_slice() {
        [month, day] | ["*", month, day] => (month, day),
        [_, _, _] => return Err("a schedule has no years"),
        _ => return Err(FORM),
    };
    Ok((component(day, 1, 31)?, component(month, 1, 12)?))
}

/// One component: `*`, `5`, `1,15`, `1..7`, `0/15`, `8..18/2`.
fn component(text: &str, least: u32, most: u32) -> Result<String, &'static str> {
    let number = |text: &str| match text.parse::<u32>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(FORM),
    };
    let item = |item: &str| -> Result<String, &'static str> {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let step = step.map(|step| step.parse::<u32>().ok().filter(|step| *step > 0).ok_or(FORM)).transpose()?;
        let ends = match range.split_once("..") {
            _ if range == "*" => None,
            Some((from, to)) => Some((number(from)?, Some(number(to)?))),
            None => Some((number(range)?, None)),
        };
        Ok(match (ends, step) {
            (None, None | Some(1)) => "*".to_owned(),
            (None, Some(step)) => format!("*/{step}"),
            (Some((from, None)), None) => from.to_string(),
            (Some((from, None)), Some(step)) if from == least => format!("*/{step}"),
            (Some((from, None)), Some(step)) if step > most - from => from.to_string(),
            (Some((from, None)), Some(step)) => format!("{from}-{most}/{step}"),
            (Some((from, Some(to))), None) => format!("{from}-{to}"),
            (Some((from, Some(to))), Some(step)) => format!("{from}-{to}/{step}"),
        })
    };
    let items = text.split(',').map(item).collect::<Result<Vec<String>, _>>()?;
    // In a list a star says the same as alone.
    Ok(if items.iter().any(|item| item == "*") { "*".to_owned() } else { items.join(",") })
}

/// `Mon`, `Mon,Wed`, `Mon..Fri`, `Sat..Mon`.
fn days_of(text: &str) -> Result<String, &'static str> {
    let day = |name: &str| {
        let name = name.to_ascii_lowercase();
        let is_meant = |day: &str| day.starts_with(&*name) && (name.len() == 3 || name.len() == day.len());
        DAYS.iter().position(|day| is_meant(day)).ok_or(FORM)
    };
    let mut is_on = [false; 7];
    for item in text.trim_end_matches(',').split(',') {
        let (from, to) = match item.split_once("..").or_else(|| item.split_once('-')) {
            Some((from, to)) => (day(from)?, day(to)?),
            None => (day(item)?, day(item)?),
        };
        let mut at = from;
        loop {
            is_on.get_mut(at).into_iter().for_each(|is| *is = true);
            if at == to {
                break;
            }
            at = (at + 1) % 7;
        }
    }
    if is_on == [true; 7] {
        return Ok("*".to_owned());
    }
    let numbers: Vec<usize> = (0..7).filter(|at| is_on.get(*at) == Some(&true)).map(|at| at + 1).collect();
    // Neighbours as a range, since that is how people write a working week.
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, to)) if *to + 1 == number => *to = number,
            Some(_) | None => ranges.push((number, number)),
        }
    }
    let range = |(from, to): &(usize, usize)| match to - from {
        0 => from.to_string(),
        1 => format!("{from},{to}"),
        _ => format!("{from}-{to}"),
    };
    Ok(ranges.iter().map(range).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn what_can_be_said_in_five_fields_is() {
        for (text, schedule) in [
            ("daily", "0 0 * * *"),
            ("Weekly", "0 0 * * 1"),
            ("*-*-* 03:00:00", "0 3 * * *"),
            ("*-*-* 03:00", "0 3 * * *"),
            ("03:00", "0 3 * * *"),
            ("Mon..Fri 08:00", "0 8 * * 1-5"),
            ("Mon,Wed,Sunday *-*-* 18:30:00", "30 18 * * 1,3,7"),
            ("Sat..Mon 1:5", "5 1 * * 1,6,7"),
            ("Fri", "0 0 * * 5"),
            ("*:0/15", "*/15 * * * *"),
            ("*:5/15", "5-59/15 * * * *"),
            ("*:*", "* * * * *"),
            ("8..18/2:00", "0 8-18/2 * * *"),
            ("*-*-01,15 04:30:00", "30 4 1,15 * *"),
            ("*-01,07-01", "0 0 1 1,7 *"),
            ("10-31 12:00", "0 12 31 10 *"),
            ("Mon *-*-1/2 00:00", "0 0 */2 * 1"),
            ("*-*-* *:50/30:00", "50 * * * *"),
        ] {
            assert_eq!(of(text).map(|calendar| calendar.schedule).as_deref(), Ok(schedule), "{text}");
        }
        let zoned = of("Mon 09:00 Europe/Berlin").expect("a zone");
        assert_eq!((&*zoned.schedule, zoned.zone.as_deref()), ("0 9 * * 1", Some("Europe/Berlin")));
        assert_eq!(of("daily UTC").expect("a zone").zone.as_deref(), Some("UTC"));
    }

    #[test]
    fn what_cannot_says_why() {
        for (text, why) in [
            ("*:*:0/30", "minutes"),
            ("*:0:10", "minutes"),
            ("2027-01-01 00:00", "years"),
            ("*-*~1", "end of a month"),
            ("Mon *-*-1..7 09:00", "a weekday and a date"),
            ("", "no calendar"),
            ("25:00", "no calendar"),
            ("soon", "no calendar"),
            ("1:2:3:4", "no calendar"),
            ("*:0/0", "no calendar"),
            ("Mon Tue", "no calendar"),
        ] {
            let said = of(text).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
