//! stub
/// stub
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    None,
}
/// stub
pub fn audit() {}
