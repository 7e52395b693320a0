//! Facts beside a process itself: what its probes said, who else could be it, its items, what was removed.

use setpoint::engine::desired::Tombstone;
use setpoint::engine::expand::{Item, Items};
use setpoint::engine::observed::{Adopted, Member, Twin};
use setpoint::engine::plan::Policy;
use setpoint::engine::probe::{Evidence, Health};
use setpoint::engine::{BootTime, Cause, Sight};

use super::facts::Table;
use super::words::Words;

impl Table {
    /// `ready web-0 #2 pass asked 5 ['what it said'] [passed-before]`
    pub fn evidence(&mut self, words: &mut Words<'_>, put: impl FnOnce(&mut Health, Evidence)) {
        let (id, attempt) = (words.instance(), words.number());
        let is_pass = match words.word() {
            "pass" => true,
            "fail" => false,
            other => words.unknown(other),
        };
        let (asked_at, said) = (BootTime::default(), "tcp :80".into());
        let mut evidence = Evidence { attempt, asked_at, is_pass, has_passed: is_pass, said };
        while let Some(word) = words.next() {
            match word {
                "asked" => evidence.asked_at = words.moment(),
                "passed-before" => evidence.has_passed = true,
                said => evidence.said = said.into(),
            }
        }
        put(&mut self.beside(id).health, evidence);
    }

    /// `twin web-0 unlooked|none|one 55 [rev A]|many 55 56|unreadable 'why'`
    pub fn twin(&mut self, words: &mut Words<'_>) {
        let id = words.instance();
        let twin = match words.word() {
            "unlooked" => Twin::Unlooked,
            "none" => Twin::None,
            "one" => {
                let member = Member { proc: self.proc(words.number()), name: "work".into() };
                Twin::One(Adopted { member, revision: words.next().map(|_| words.revision()) })
            }
            "many" => {
                let pids: Vec<u32> = std::iter::from_fn(|| words.next()).map(|word| word.parse().unwrap()).collect();
                Twin::Many(pids.iter().map(|pid| Member { proc: self.proc(*pid), name: "work".into() }).collect())
            }
            "unreadable" => Twin::Unreadable { why: words.word().into() },
            other => words.unknown(other),
        };
        self.beside(id).twin = twin;
    }

    /// `items jobs [a b] [gone c 8]`, or `items jobs unreadable 'why'`
    pub fn items(&mut self, words: &mut Words<'_>) {
        let (id, mut items) = (words.object(), Items::default());
        while let Some(word) = words.next() {
            match word {
                "unreadable" => {
                    let why = words.word().into();
                    self.observed.items.insert(id, Sight::Unreadable { why });
                    return;
                }
                "gone" => {
                    let cause = cause(words.word());
                    items.gone.insert(cause, words.moment());
                }
                stem => {
                    let item = Item { text: format!("/items/{stem}.txt").into(), stem: stem.into() };
                    items.listed.insert(cause(stem), item);
                }
            }
        }
        self.observed.items.insert(id, Sight::Seen(items));
    }

    /// `deleted web [stop INT/5] [needs db] [ends-adopted]`
    pub fn deleted(&mut self, words: &mut Words<'_>) {
        let id = words.object();
        let (uid, policy, needs) = ("u1".into(), Policy::DEFAULT, Vec::new());
        let mut stone = Tombstone { uid, generation: 1, policy, needs, ends_adopted: false };
        while let Some(word) = words.next() {
            match word {
                "stop" => stone.policy = words.policy(),
                "needs" => stone.needs.push(words.need().object),
                "ends-adopted" => stone.ends_adopted = true,
                other => words.unknown(other),
            }
        }
        self.desired.tombstones.insert(id, stone);
    }
}

fn cause(text: &str) -> Cause {
    text.parse().expect("a plain name")
}
