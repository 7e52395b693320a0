//! A line for the local API: whatever it is, there are calls or an error to answer with, every parameter is held against
//! the schema of its method, and never a panic.
#![no_main]

use std::hint::black_box;

use serde_json::Value;
use setpoint::rpc::message::{self, Item, Message};
use setpoint::rpc::method;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let items = match message::read(bytes) {
        Ok(Message::One(item)) => vec![item],
        Ok(Message::Batch(items)) => {
            assert!(!items.is_empty() && items.len() <= message::BATCH_MAX);
            items
        }
        Err(error) => {
            // A number beyond 64 bits would lose digits, so its line is not taken.
            let is_large = error.message.contains("64 bits");
            assert!(is_large || serde_json::from_slice::<Value>(bytes).is_err() || bytes.contains(&b'['));
            black_box(message::line(&message::reply(&Value::Null, Err(error))));
            return;
        }
    };
    for item in items {
        match item {
            Item::Call(call) => {
                assert!(call.params.is_object());
                match method::find(&call.method, &call.params) {
                    Ok(found) => assert_eq!(found.name, call.method),
                    Err(error) => {
                        let answer = message::line(&message::reply(call.id.as_ref().unwrap_or(&Value::Null), Err(error)));
                        assert_eq!(answer.iter().filter(|byte| **byte == b'\n').count(), 1);
                    }
                }
            }
            Item::Wrong { id, error } => {
                assert!(matches!(id, Value::Null | Value::Number(_) | Value::String(_)));
                black_box(message::line(&message::reply(&id, Err(error))));
            }
        }
    }
});
