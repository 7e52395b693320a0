//! Messages as people send, read and retry them: the verbs, with a controller and without.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::world::{Said, World, said};

/// A mailbox with a rule of each sort. What it does with `/mark` is read from the file `marks`.
fn inbox(world: &World) {
    let root = world.root().display();
    world.write(
        "inbox.yaml",
        &format!(
            "kind: Mailbox\nname: inbox\nretry: {{ times: 0 }}\natOnce: 4\nrules:\n\
             - {{ match: {{ command: /echo }}, run: cat }}\n\
             - {{ match: {{ command: /mark }}, run: 'cat >> {root}/marks' }}\n\
             - {{ match: {{ command: /ship }}, run: [sh, -c, 'printf %s \"$SETPOINT_PARAM_APP\"'], with: {{ app: {{ from: message.arg1 }} }} }}\n\
             - {{ match: {{ command: /fail }}, run: [sh, -c, 'echo it broke >&2; test -e {root}/mended'] }}\n\
             - {{ match: {{ command: /slow }}, run: [sleep, '1000'] }}\n\
             - {{ match: {{ type: 'com.example.*', subject: 'build *', from: ada }}, reply: Thank you. }}\n\
             - {{ match: {{ text: '^status' }}, reply: All is well. }}\n\
             - {{ match: {{ text: '^hush' }}, drop: true }}\n"
        ),
    );
    world.apply();
}

/// Sends what stands on standard input.
fn piped(world: &World, words: &[&str], bytes: &[u8]) -> Said {
    let mut command = world.command(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("setpoint");
    child.stdin.take().expect("a pipe").write_all(bytes).expect("written");
    said(child.wait_with_output().expect("its end"))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The ids of the dead letters, newest first.
fn dead(world: &World) -> Vec<String> {
    let list = json(&world.ok(&["dead", "list", "-o", "json"]));
    let id = |item: &Value| item["id"].as_str().expect("an id").to_owned();
    list["items"].as_array().expect("items").iter().map(id).collect()
}

#[test]
fn who_waits_is_told_what_came_of_it() {
    let world = World::new();
    inbox(&world);
    let _controller = world.controller();
    for (words, code, out, err) in [
        (&["send", "inbox", "/echo hello", "--wait"][..], 0, "/echo hello\n", ""),
        (&["send", "mailbox/inbox", "/ship shop now", "--wait"], 0, "shop\n", ""),
        (&["send", "mb/inbox", "status, please", "--wait"], 0, "All is well.\n", ""),
        (&["send", "inbox", "hush", "--wait"], 0, "", ""),
        (
            &["send", "inbox", "x", "--type", "com.example.build", "--subject", "build 7", "--from", "ada", "--wait"],
            0,
            "Thank you.\n",
            "",
        ),
        (&["send", "inbox", "/fail", "--id", "f1", "--wait"], 1, "", "help: setpoint dead show mailbox/inbox/"),
        (&["send", "inbox", "something else", "--wait"], 1, "", "no rule"),
        (&["send", "inbox", "/slow", "--wait", "--timeout", "300ms"], 124, "", "is not over in time; it stays"),
        (&["send", "inbx", "x"], 3, "", "did you mean inbox?"),
        (&["send", "no mailbox", "x"], 2, "", "is no name of a mailbox"),
        (&["send", "inbox", "x", "--priority", "10"], 2, "", "--priority"),
        (&["send", "inbox", "--file", "none.txt"], 1, "", "none.txt"),
        (&["send", "inbox", "x", "--timeout", "1s"], 2, "", "--wait"),
    ] {
        let said = world.run(words);
        assert_eq!(said.code, code, "{words:?}: {}{}\n{}", said.out, said.err, world.story());
        assert_eq!(said.out, out, "{words:?}: {}", said.err);
        assert!(said.err.contains(err), "{words:?}: {}", said.err);
    }
    let whole = world.run(&["send", "inbox", "/echo again", "--wait", "-o", "json"]);
    let whole = json(&whole.out);
    assert_eq!((&whole["state"], &whole["reply"]), (&Value::from("ok"), &Value::from("/echo again")), "{whole:#}");
}

#[test]
fn bytes_come_as_they_were_sent_and_one_id_is_one_message() {
    let world = World::new();
    inbox(&world);
    let _controller = world.controller();
    let marks = || std::fs::read(world.root().join("marks")).unwrap_or_default();
    let bytes = b"/mark \xff\x00\nno newline is added";
    let sent = piped(&world, &["send", "inbox", "--wait"], bytes);
    assert_eq!(sent.code, 0, "{}{}", sent.out, sent.err);
    assert_eq!(marks(), bytes);

    std::fs::write(world.root().join("letter.txt"), "/mark\n").expect("a file");
    let first = world.run(&["send", "inbox", "--file", "letter.txt", "--id", "order-7"]);
    assert!(first.code == 0 && first.out.contains("/order-7  taken in, "), "{}{}", first.out, first.err);
    let again = piped(&world, &["send", "inbox", "--file", "-", "--id", "order-7"], b"/mark\n");
    assert!(again.code == 0 && again.out.contains("/order-7  was there already, "), "{}{}", again.out, again.err);
    let other = world.run(&["send", "inbox", "/mark other", "--id", "order-7"]);
    assert_eq!(other.code, 1, "the same id for something else: {}{}", other.out, other.err);
    world.until("it is done", || marks().ends_with(b"/mark\n"));
    assert_eq!(marks(), [bytes, &b"/mark\n"[..]].concat(), "once");
}

#[test]
fn whoever_waits_hears_that_it_was_cancelled() {
    let world = World::new();
    inbox(&world);
    let _controller = world.controller();
    let mut waiting = world.command(&["send", "inbox", "/slow", "--id", "s1", "--wait"]);
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("setpoint");
    let is_at_work = || world.run(&["inbox", "inbox", "--state", "claimed", "-o", "name"]).out.contains("/s1");
    world.until("it is at work", is_at_work);
    world.ok(&["cancel", "mailbox/inbox/s1"]);
    let over = said(waiting.wait_with_output().expect("its end"));
    assert_eq!(over.code, 130, "{}{}", over.out, over.err);
}

#[test]
fn without_a_controller_a_message_waits_for_one() {
    let world = World::new();
    let nowhere = world.run(&["send", "inbox", "x"]);
    assert_eq!(nowhere.code, 3, "{}{}", nowhere.out, nowhere.err);
    for words in [&["inbox"][..], &["dead", "list"]] {
        let none = world.run(words);
        assert!(none.code == 0 && none.out.is_empty() && !none.err.is_empty(), "{words:?}: {}{}", none.out, none.err);
    }
    inbox(&world);
    let sent = world.run(&["send", "inbox", "/mark", "--id", "early"]);
    assert_eq!(sent.code, 0, "{}{}", sent.out, sent.err);
    assert!(sent.err.contains("No controller runs: it waits until one does"), "{}", sent.err);
    let shown = world.ok(&["inbox", "inbox/early"]);
    assert!(shown.contains("early  available\n") && shown.contains("Message:\n  /mark\n"), "{shown}");
    let retried = world.run(&["dead", "retry", "inbox/early"]);
    assert_eq!(retried.code, 4, "{}{}", retried.out, retried.err);
    let waited = world.run(&["send", "inbox", "/mark", "--wait", "--timeout", "100ms"]);
    assert_eq!(waited.code, 124, "{}{}", waited.out, waited.err);
    let _controller = world.controller();
    let marks = || std::fs::read_to_string(world.root().join("marks")).unwrap_or_default();
    world.until("both are done", || marks() == "/mark/mark");
}

#[test]
fn messages_are_listed_and_shown() {
    let world = World::new();
    inbox(&world);
    let _controller = world.controller();
    world.ok(&["send", "inbox", "/echo one", "--id", "one", "--subject", "the first", "--wait"]);
    assert_eq!(world.run(&["send", "inbox", "/fail", "--id", "two", "--wait"]).code, 1);
    let table = world.ok(&["inbox"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("MESSAGE") && lines[0].ends_with("WHY"), "{table}");
    assert!(lines[1].starts_with("mailbox/inbox/two  dead "), "newest first: {table}");
    assert!(lines[2].starts_with("mailbox/inbox/one  ok ") && lines[2].contains("the first"), "{table}");
    assert_eq!(world.ok(&["inbox", "inbox", "--state", "dead", "-o", "name"]), "mailbox/inbox/two\n");
    assert_eq!(world.ok(&["inbox", "-n", "1", "-o", "name"]), "mailbox/inbox/two\n");
    let shown = world.ok(&["inbox", "inbox/one"]);
    for part in
        ["one  ok\n", "Subject:   the first\n", "Tries:     1\n", "Answer:\n  /echo one\n", "Message:\n  /echo one\n"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let shown = world.ok(&["dead", "show", "mailbox/inbox/two"]);
    for part in ["two  dead\n", "Why:", "dead retry mailbox/inbox/two", "Last words:\n  it broke\n"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    for (words, code, err) in [
        (&["inbox", "--state", "lost"][..], 2, "which is no state"),
        (&["inbox", "inbox/none"], 3, "there is no message mailbox/inbox/none"),
        (&["dead", "show", "inbox/none"], 3, "there is no message mailbox/inbox/none"),
        (&["dead", "show", "inbox"], 2, "names no message"),
        (&["inbox", "inbx"], 3, "did you mean inbox?"),
        (&["dead", "list", "inbx"], 3, "did you mean inbox?"),
    ] {
        let said = world.run(words);
        assert_eq!(said.code, code, "{words:?}: {}{}", said.out, said.err);
        assert!(said.err.contains(err) && said.out.is_empty(), "{words:?}: {}{}", said.out, said.err);
    }
}

#[test]
fn dead_letters_are_tried_again_and_forgotten() {
    let world = World::new();
    inbox(&world);
    let _controller = world.controller();
    for id in ["a", "b", "c"] {
        assert_eq!(world.run(&["send", "inbox", "/fail", "--id", id, "--wait"]).code, 1, "{}", world.story());
    }
    let list = json(&world.ok(&["dead", "list", "inbox", "-o", "json"]));
    let first = &list["items"][0];
    for field in ["id", "mailbox", "payload", "reason", "attempts", "at"] {
        assert!(!first[field].is_null(), "{field} in {first:#}");
    }
    assert_eq!((&first["id"], &first["payload"]), (&Value::from("c"), &Value::from("/fail")), "{first:#}");
    assert_eq!(world.ok(&["dead", "drop", "inbox/b"]), "mailbox/inbox/b  is forgotten\n");
    assert_eq!(dead(&world), ["c", "a"]);

    std::fs::write(world.root().join("mended"), "").expect("a file");
    assert_eq!(world.ok(&["dead", "retry", "inbox/a"]), "mailbox/inbox/a  is tried again\n");
    world.until("it went well", || world.ok(&["inbox", "inbox/a"]).contains("a  ok\n"));
    world.ok(&["dead", "retry", "inbox", "--all"]);
    world.until("all went well", || dead(&world).is_empty());
    let none = world.run(&["dead", "retry", "inbox", "--all"]);
    assert!(none.code == 0 && none.err.contains("There are no dead letters."), "{}{}", none.out, none.err);
    for (words, code) in [
        (&["dead", "retry", "inbox/a"][..], 3),
        (&["dead", "drop", "inbox/none"], 3),
        (&["dead", "retry", "inbox"], 2),
        (&["dead", "retry", "inbx", "--all"], 3),
    ] {
        let said = world.run(words);
        assert_eq!(said.code, code, "{words:?}: {}{}", said.out, said.err);
        assert!(said.err.contains("help: "), "{words:?}: {}", said.err);
    }
}
