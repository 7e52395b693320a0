//! Bytes of one manifest into the loader, in each form a file can have: whatever they are, it answers with objects or
//! with problems that can be printed, and never panics.
#![no_main]

use std::hint::black_box;
use std::path::PathBuf;

use setpoint::load::{Form, LoadContext, load_text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let cx = LoadContext { folder: PathBuf::from("/") };
    for form in [Form::Yaml, Form::Json, Form::Markdown] {
        match load_text(bytes, form, &cx) {
            Ok(loaded) => {
                black_box(loaded.warnings.iter().map(|problem| problem.render(false, false).len()).sum::<usize>());
            }
            Err(problems) => {
                black_box(problems.render(true).len());
            }
        }
    }
});
