//! Bytes of an attempt record into its reader: torn, old or hostile, it answers with facts or `Damaged`, never a panic.
//!
//! The sum in each half would stop nearly every mutant at the door, so the same bytes are also read as the lines of
//! two halves (divided by a zero byte) that are sealed anew.
#![no_main]

use setpoint::record::Text;
use setpoint::record::attempt::{BIRTH_LEN, END_LEN, parse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = std::hint::black_box(parse(bytes));
    let mut halves = bytes.splitn(2, |byte| *byte == 0);
    let birth = sealed::<BIRTH_LEN>(halves.next());
    let end = sealed::<END_LEN>(halves.next());
    let _ = std::hint::black_box(parse(&[birth, end].concat()));
});

fn sealed<const N: usize>(lines: Option<&[u8]>) -> Vec<u8> {
    let mut half = Text::<N>::new();
    half.push(lines.unwrap_or_default());
    half.sealed().map_or_else(Vec::new, |bytes| bytes.to_vec())
}
