//! How a message comes, is worked on, comes back, and ends.

use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use setpoint::store::{
    Books, DeadLetter, DeadWish, EndRow, Enqueue, Given, MessageFilter, MessageRow, MessageState, OriginRow,
    PAYLOAD_MAX, QueueLimits, QueueRow, Reply, ResultSource, Trouble, Write, Writer,
};

use crate::world::{
    INBOX, LIMITS, World, at, attempt, back, cause, claim, done, end, ended, enqueue, finish, grouped, ids, message,
    object, queued, step,
};

fn kept(world: &World, id: &str) -> MessageRow {
    world.reader().message(&object(INBOX), id).unwrap().expect("a message")
}

fn states(world: &World) -> String {
    let mut messages = world.reader().messages(&MessageFilter::default()).unwrap();
    messages.reverse();
    let words: Vec<String> =
        messages.iter().map(|message| format!("{} {}", message.id, message.state.word())).collect();
    words.join(", ")
}

fn queue(world: &World) -> Option<QueueRow> {
    let mut queues = world.reader().queues().unwrap();
    assert!(queues.len() <= 1, "{queues:?}");
    // The counters are what counting gives.
    let waiting = world.reader().messages(&MessageFilter::default()).unwrap();
    let waiting: Vec<_> = waiting.iter().filter(|message| !message.state.is_over()).collect();
    let bytes =
        |message: &&MessageRow| message.payload.len() + message.params.as_ref().map_or(0, |params| params.len());
    let counted = (waiting.len() as u64, waiting.iter().map(bytes).sum::<usize>() as u64);
    assert_eq!(queues.first().map_or((0, 0), |queue| (queue.depth, queue.bytes)), counted);
    queues.pop()
}

fn refusal(writer: &Writer, write: Write) -> String {
    match writer.ask(write) {
        Err(trouble @ Trouble::Refused { .. }) => trouble.to_string(),
        other => panic!("{other:?}"),
    }
}

fn withdraw(id: &str, seconds: u64) -> Write {
    Write::Withdraw { object: object(INBOX), id: Arc::from(id), by: Arc::from("ann"), at: at(seconds) }
}

fn dead(id: &str, wish: DeadWish, seconds: u64) -> Write {
    Write::Dead(DeadLetter { object: object(INBOX), id: Arc::from(id), wish, by: Arc::from("ann"), at: at(seconds) })
}

#[test]
fn a_message_is_kept_as_it_came_claimed_with_a_run_and_ended_with_it() {
    let world = World::new();
    let writer = world.writer();
    let sent = MessageRow {
        params: Some(Arc::from("{\"a\":1}")),
        expires: Some(at(600)),
        priority: 3,
        payload: Arc::from(&b"\0\xff"[..]),
        ..message("m1", 0)
    };
    let first = queued(&writer, sent.clone());
    assert_eq!(first, MessageRow { seq: first.seq, ..sent });
    assert_eq!(kept(&world, "m1"), first);
    let waits = QueueRow { object: object(INBOX), has_available: true, next_due: None, depth: 1, bytes: 9 };
    assert_eq!(queue(&world), Some(waits.clone()));
    assert_eq!(world.reader().open_runs(), Ok(vec![]), "nobody works on it");

    let claimed = claim(&writer, 10, 5);
    let held = MessageRow { state: MessageState::Claimed, fence: 1, claimed: Some(at(5)), ..first };
    assert_eq!((&claimed.messages[..], &claimed.steps[..]), (&[held.clone()][..], &[][..]));
    assert_eq!(claimed.queue, QueueRow { has_available: false, ..waits });
    assert_eq!(world.reader().claimed_messages(), Ok(vec![held.clone()]));
    let open = world.reader().open_runs().unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(
        (&open[0].cause, &open[0].origin, open[0].created, open[0].due),
        (&cause("m1"), &OriginRow::Message, at(0), at(5))
    );
    assert_eq!(open[0].params.as_deref(), Some("{\"a\":1}"));
    assert_eq!(claim(&writer, 10, 6).messages, []);

    let mut over = end(&held, MessageState::Ok, 9);
    over.reason = Some(Arc::from("exit code 0"));
    let told = over.message.as_mut().unwrap();
    told.reply = Some(Arc::from("done"));
    told.log_tail = ResultSource::Capture(Box::new(|| Some(Given::whole(&("x".repeat(20_000) + "é last")))));
    done(&writer, Write::Finish(Box::new(over)));
    let stands = kept(&world, "m1");
    assert_eq!((stands.state, stands.tries, stands.base_attempts, stands.ended), (MessageState::Ok, 1, 1, Some(at(9))));
    assert_eq!((stands.outcome.as_deref(), stands.reason.as_deref()), (Some("ok"), Some("exit code 0")));
    assert_eq!(stands.reply.as_deref(), Some("done"));
    let tail = stands.log_tail.unwrap();
    assert!(tail.ends_with("xé last") && tail.len() == 16 << 10, "{}", tail.len());
    let run = world.reader().run(&object(INBOX), &cause("m1")).unwrap().unwrap();
    assert!(matches!(run.end, Some(EndRow { outcome, .. }) if &*outcome == "ok"));
    assert_eq!((queue(&world), world.reader().open_runs()), (None, Ok(vec![])));
}

#[test]
fn the_same_message_sent_again_is_answered_with_the_first() {
    let world = World::new();
    let writer = world.writer();
    let first = queued(&writer, message("m1", 0));
    let again = |enqueued| match writer.ask(enqueue(message("m1", enqueued))) {
        Ok(Reply::Enqueued { message, is_new: false }) => *message,
        other => panic!("{other:?}"),
    };
    assert_eq!(again(10), first);
    assert_eq!(queue(&world).unwrap().depth, 1);
    let held = claim(&writer, 1, 20).messages.remove(0);
    assert_eq!(again(30), held);
    ended(&writer, &held, MessageState::Ok, 40);
    assert_eq!(again(86_400).state, MessageState::Ok, "although it is over");
    let other = MessageRow { payload: Arc::from(&b"other"[..]), ..message("m1", 50) };
    expect![[r#"
        mailbox/inbox: the id m1 was used before with another payload
          help: give each message an id of its own; the same id is for the same message, sent again"#]]
    .assert_eq(&refusal(&writer, enqueue(other)));
    // The same id in another queue is another message.
    let elsewhere = MessageRow { object: object("mailbox/other"), ..message("m1", 60) };
    queued(&writer, elsewhere);
}

#[test]
fn a_key_is_for_one_message_that_is_not_over() {
    let world = World::new();
    let writer = world.writer();
    let keyed = |id: &str, n| MessageRow { dedup: Some(Arc::from("daily")), ..message(id, n) };
    let first = queued(&writer, keyed("m1", 0));
    let doubled = || match writer.ask(enqueue(keyed("m2", 1))) {
        Ok(Reply::Enqueued { message, is_new: false }) => message.id.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(doubled(), "m1");
    assert_eq!(queue(&world).unwrap().depth, 1);
    let held = claim(&writer, 1, 2).messages.remove(0);
    assert_eq!((held.seq, doubled().as_str()), (first.seq, "m1"));
    ended(&writer, &held, MessageState::Dead, 3);
    queued(&writer, keyed("m2", 4));
    expect![[r#"
        mailbox/inbox: m1 and m2 have the same key daily, and one of them at most may wait
          help: retry it when the other is done, or drop it"#]]
    .assert_eq(&refusal(&writer, dead("m1", DeadWish::Retry, 5)));
    done(&writer, withdraw("m2", 6));
    done(&writer, dead("m1", DeadWish::Retry, 7));
    assert_eq!(states(&world), "m1 available, m2 cancelled");
}

#[test]
fn a_queue_that_is_full_says_so_and_is_unchanged() {
    let world = World::new();
    let writer = world.writer();
    let limited = |message: MessageRow, messages, bytes, recent| {
        Write::Enqueue(Box::new(Enqueue { message, limits: QueueLimits { messages, bytes }, recent }))
    };
    for n in 0..3 {
        queued(&writer, message(&format!("m{n}"), n));
    }
    let before = (states(&world), queue(&world));
    expect![[r#"
        mailbox/inbox holds 3 messages already (at most 3): this one is not taken
          help: send it again when some are done, or allow more"#]]
    .assert_eq(&refusal(&writer, limited(message("m3", 3), 3, 1_000, None)));
    expect![[r#"
        mailbox/inbox holds 39 bytes of messages already (at most 40): one of 13 more is not taken
          help: send it again when some are done, or allow more"#]]
    .assert_eq(&refusal(&writer, limited(message("m3", 3), 4, 40, None)));
    let recent = Some((2, Duration::from_secs(2)));
    expect![[r#"
        mailbox/inbox took 2 messages within 2s already (at most 2): this one is not taken
          help: see what sends so many, or allow more"#]]
    .assert_eq(&refusal(&writer, limited(message("m3", 2), 10, 1_000, recent)));
    assert_eq!((states(&world), queue(&world)), before);
    assert!(matches!(writer.ask(limited(message("m1", 9), 3, 1, None)), Ok(Reply::Enqueued { is_new: false, .. })));
    assert!(matches!(writer.ask(limited(message("m3", 4), 4, 52, recent)), Ok(Reply::Enqueued { is_new: true, .. })));
}

#[test]
fn what_cannot_be_a_message_is_refused_before_it_is_queued() {
    let world = World::new();
    let writer = world.writer();
    let large = MessageRow { payload: vec![0; PAYLOAD_MAX + 1].into(), ..message("m1", 0) };
    let trouble = writer.ask(enqueue(large)).unwrap_err();
    assert!(
        trouble.to_string().starts_with("the payload of a message has 262145 bytes, and 262144 are kept"),
        "{trouble}"
    );
    let subject = MessageRow { subject: "x".repeat(4_097).into(), ..message("m1", 0) };
    assert!(matches!(writer.ask(enqueue(subject)), Err(Trouble::TooLarge { what: "the subject of a message", .. })));
    for id in ["a.b", "", "a b", "a/b", &"x".repeat(129)] {
        assert!(refusal(&writer, enqueue(message(id, 0))).starts_with("the id `"), "{id}");
    }
    let priority = refusal(&writer, enqueue(MessageRow { priority: 10, ..message("m1", 0) }));
    assert_eq!(priority, "priority 10 of a message: write 0, the first, to 9");
    queued(&writer, MessageRow { payload: vec![0; PAYLOAD_MAX].into(), ..message("m1", 0) });
    assert_eq!(kept(&world, "m1").payload.len(), PAYLOAD_MAX);
    queued(&writer, MessageRow { payload: Arc::from(&b""[..]), ..message("7", 0) });
    assert_eq!(kept(&world, "7").payload.len(), 0);
}

#[test]
fn a_message_waits_for_its_time() {
    let world = World::new();
    let writer = world.writer();
    queued(&writer, MessageRow { due: at(60), ..message("later", 0) });
    queued(&writer, MessageRow { due: at(30), ..message("soon", 1) });
    assert_eq!(states(&world), "later scheduled, soon scheduled");
    let waiting = queue(&world).unwrap();
    assert_eq!((waiting.has_available, waiting.next_due, waiting.depth), (false, Some(at(30)), 2));
    assert_eq!(ids(&claim(&writer, 9, 29).messages), Vec::<&str>::new());
    let claimed = claim(&writer, 9, 30);
    assert_eq!((ids(&claimed.messages), claimed.queue.next_due), (vec!["soon"], Some(at(60))));
    assert_eq!(ids(&claim(&writer, 9, 61).messages), ["later"]);
}

#[test]
fn a_message_that_comes_back_waits_and_its_run_stays_open_unseen() {
    let world = World::new();
    let writer = world.writer();
    queued(&writer, message("m1", 0));
    let held = claim(&writer, 1, 1).messages.remove(0);
    done(&writer, Write::Return(Box::new(back(&held, 60, 2))));
    assert_eq!(writer.ask(Write::Return(Box::new(back(&held, 99, 3)))), Ok(Reply::Already(None)));
    let waits = kept(&world, "m1");
    assert_eq!((waits.state, waits.due, waits.seq, waits.tries), (MessageState::Scheduled, at(60), held.seq, 1));
    assert_eq!((waits.base_attempts, waits.claimed, waits.reason.as_deref()), (2, None, Some("exit code 75")));
    let reader = world.reader();
    assert_eq!((reader.open_runs(), reader.claimed_messages()), (Ok(vec![]), Ok(vec![])));
    let run = reader.run(&object(INBOX), &cause("m1")).unwrap().unwrap();
    assert_eq!((run.attempts, run.base_attempts, run.due, run.end), (2, 2, at(60), None));
    assert_eq!(reader.attempts(&object(INBOX), &cause("m1")), Ok(vec![attempt(INBOX, "m1", 2)]));
    assert_eq!(claim(&writer, 1, 59).messages, []);
    let again = claim(&writer, 1, 60).messages.remove(0);
    assert_eq!((again.fence, again.tries, again.base_attempts), (2, 1, 2));
    assert_eq!(reader.open_runs().unwrap().len(), 1);
    // What the first claim still had to say counts no more.
    assert_eq!(writer.ask(Write::Return(Box::new(back(&held, 99, 3)))), Ok(Reply::Already(None)));
    let late = writer.ask(Write::Finish(Box::new(end(&held, MessageState::Ok, 61))));
    assert!(matches!(late, Ok(Reply::Already(Some(run))) if run.end.is_none()));
    assert_eq!(kept(&world, "m1"), again);
    ended(&writer, &again, MessageState::Ok, 62);
    assert!(matches!(
        writer.ask(Write::Finish(Box::new(end(&again, MessageState::Dead, 63)))),
        Ok(Reply::Already(Some(_)))
    ));
    assert_eq!((states(&world), queue(&world)), ("m1 ok".into(), None));
}

#[test]
fn the_steps_of_a_workflow_that_went_well_stand_when_it_is_tried_again() {
    let world = World::new();
    let writer = world.writer();
    queued(&writer, message("m1", 0));
    let held = claim(&writer, 1, 1).messages.remove(0);
    for (id, outcome) in [("build", "ok"), ("test", "failed")] {
        let mut over = finish(INBOX, &format!("m1.{id}"), outcome);
        over.otherwise = Some(Box::new(step(INBOX, "m1", id, 2)));
        done(&writer, Write::Finish(Box::new(over)));
    }
    done(&writer, Write::Return(Box::new(back(&held, 60, 0))));
    let again = claim(&writer, 1, 60);
    let steps: Vec<_> =
        again.steps.iter().map(|step| (step.cause.to_string(), step.end.is_some(), step.base_attempts)).collect();
    assert_eq!(steps, [("m1.build".into(), true, 0), ("m1.test".into(), false, 1)]);
    ended(&writer, &again.messages[0], MessageState::Ok, 61);
}

#[test]
fn a_group_goes_one_at_a_time_in_the_order_it_came_whatever_the_priority() {
    let world = World::new();
    let writer = world.writer();
    queued(&writer, MessageRow { priority: 9, ..grouped("a1", "a", 0) });
    queued(&writer, MessageRow { priority: 0, ..grouped("a2", "a", 1) });
    queued(&writer, MessageRow { due: at(100), ..grouped("a3", "a", 2) });
    queued(&writer, grouped("b1", "b", 3));
    assert_eq!(states(&world), "a1 available, a2 behind, a3 behind, b1 available");
    let claimed = claim(&writer, 9, 4).messages;
    assert_eq!(ids(&claimed), ["b1", "a1"]);
    assert_eq!(claim(&writer, 9, 4).messages, []);
    done(&writer, Write::Return(Box::new(back(&claimed[1], 50, 1))));
    assert_eq!(states(&world), "a1 scheduled, a2 behind, a3 behind, b1 claimed");
    assert_eq!(claim(&writer, 9, 49).messages, [], "one that has to be tried again holds up its group");
    let a1 = claim(&writer, 9, 50).messages.remove(0);
    ended(&writer, &a1, MessageState::Ok, 51);
    let a2 = claim(&writer, 9, 52).messages.remove(0);
    assert_eq!(&*a2.id, "a2");
    ended(&writer, &a2, MessageState::Dead, 53);
    assert_eq!(states(&world), "a1 ok, a2 dead, a3 scheduled, b1 claimed");
    queued(&writer, grouped("a4", "a", 54));
    done(&writer, withdraw("a3", 55));
    assert_eq!(states(&world), "a1 ok, a2 dead, a3 cancelled, b1 claimed, a4 available");
}

#[test]
fn a_dead_letter_comes_back_into_its_group_at_its_old_place() {
    let world = World::new();
    let writer = world.writer();
    for n in 1..=4 {
        queued(&writer, grouped(&format!("a{n}"), "a", n));
    }
    let a1 = claim(&writer, 1, 5).messages.remove(0);
    ended(&writer, &a1, MessageState::Dead, 6);
    done(&writer, dead("a1", DeadWish::Retry, 7));
    assert_eq!(states(&world), "a1 available, a2 behind, a3 behind, a4 behind");
    let a1 = claim(&writer, 1, 8).messages.remove(0);
    ended(&writer, &a1, MessageState::Dead, 9);
    let a2 = claim(&writer, 1, 10).messages.remove(0);
    done(&writer, dead("a1", DeadWish::Retry, 11));
    assert_eq!(states(&world), "a1 behind, a2 claimed, a3 behind, a4 behind", "one at a time");
    done(&writer, withdraw("a3", 12));
    assert_eq!(states(&world), "a1 behind, a2 claimed, a3 cancelled, a4 behind");
    done(&writer, Write::Return(Box::new(back(&a2, 60, 1))));
    assert_eq!(states(&world), "a1 scheduled, a2 behind, a3 cancelled, a4 behind");
    let a1 = claim(&writer, 9, 61).messages.remove(0);
    ended(&writer, &a1, MessageState::Ok, 62);
    assert_eq!(states(&world), "a1 ok, a2 available, a3 cancelled, a4 behind");
    assert_eq!(ids(&claim(&writer, 9, 63).messages), ["a2"]);
}

#[test]
fn a_message_that_waits_can_be_withdrawn_and_one_that_is_worked_on_cannot() {
    let world = World::new();
    let writer = world.writer();
    for id in ["m1", "m2"] {
        queued(&writer, message(id, 0));
    }
    assert_eq!(writer.ask(withdraw("none", 1)), Ok(Reply::Unknown));
    let m1 = claim(&writer, 1, 1).messages.remove(0);
    assert_eq!(writer.ask(withdraw("m1", 2)), Ok(Reply::Already(None)));
    done(&writer, Write::Return(Box::new(back(&m1, 60, 1))));
    for id in ["m1", "m2"] {
        done(&writer, withdraw(id, 3));
        assert_eq!(writer.ask(withdraw(id, 4)), Ok(Reply::Already(None)));
        let over = kept(&world, id);
        assert_eq!(
            (over.state, over.ended, over.reason.as_deref()),
            (MessageState::Cancelled, Some(at(3)), Some("withdrawn by ann"))
        );
    }
    let run = world.reader().run(&object(INBOX), &cause("m1")).unwrap().unwrap();
    assert_eq!(run.end.map(|end| end.outcome.to_string()).as_deref(), Some("cancelled"), "of its first try");
    assert_eq!((queue(&world), claim(&writer, 9, 99).messages), (None, vec![]));
}

#[test]
fn a_dead_letter_is_tried_again_or_forgotten() {
    let world = World::new();
    let writer = world.writer();
    queued(&writer, MessageRow { expires: Some(at(100)), ..message("m1", 0) });
    assert_eq!(writer.ask(dead("m1", DeadWish::Retry, 1)), Ok(Reply::Already(None)), "it waits");
    assert_eq!(writer.ask(dead("none", DeadWish::Drop, 1)), Ok(Reply::Unknown));
    let held = claim(&writer, 1, 1).messages.remove(0);
    let mut over = end(&held, MessageState::Dead, 2);
    over.attempts = 5;
    done(&writer, Write::Finish(Box::new(over)));
    let reopen = Write::Reopen { object: object(INBOX), cause: cause("m1"), by: Arc::from("ann"), at: at(3) };
    assert!(refusal(&writer, reopen).starts_with("mailbox/inbox/m1 is the run of a message"));
    done(&writer, dead("m1", DeadWish::Retry, 1_000));
    let waits = kept(&world, "m1");
    assert_eq!((waits.state, waits.tries, waits.base_attempts), (MessageState::Available, 0, 5));
    assert_eq!((waits.enqueued, waits.expires, waits.ended, waits.outcome), (at(0), Some(at(1_100)), None, None));
    let run = world.reader().run(&object(INBOX), &cause("m1")).unwrap().unwrap();
    assert_eq!((run.attempts, run.base_attempts, run.end, run.reopened.as_deref()), (5, 5, None, Some("ann")));
    assert_eq!((world.reader().open_runs(), queue(&world).unwrap().depth), (Ok(vec![]), 1));
    let held = claim(&writer, 1, 1_001).messages.remove(0);
    assert_eq!((held.fence, held.base_attempts), (2, 5));
    ended(&writer, &held, MessageState::Dead, 1_002);
    done(&writer, dead("m1", DeadWish::Drop, 1_003));
    assert_eq!((states(&world).as_str(), writer.ask(dead("m1", DeadWish::Drop, 1_004))), ("", Ok(Reply::Unknown)));
    // Its name is free, and the processes of the next one are counted on.
    queued(&writer, MessageRow { payload: Arc::from(&b"other"[..]), ..message("m1", 2_000) });
    let held = claim(&writer, 1, 2_001).messages.remove(0);
    assert_eq!((held.fence, held.base_attempts), (1, 1));
    assert_eq!(world.reader().open_runs().unwrap()[0].created, at(2_000));
    assert_eq!(LIMITS.messages, 1_000_000);
}
