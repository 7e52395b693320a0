//! What every decision about messages must satisfy, found out again by another road.
//!
//! In: a decision with the facts it was made from. Out: the rule it breaks. Not here: deciding.
//! The surprise: as in `engine::run::audit`, nothing here asks the code that decides.
