//! The local API: JSON-RPC 2.0 over the socket of the controller, one line a message.
//!
//! In: lines from clients of the same user. Out: answers, and events for those that subscribe. Not here: what the loop
//! does about a request (`controller`), the words of the command line (`cli`).
//!
//! [`method::Method`] is the one table: a name, what it does to the machine, its parameters, a line of words and what
//! answers it. This socket reads it, and every other way in that comes later.
//! The surprise: all of this runs on a thread of its own, and what reads files or the store on others, so that a client
//! can be as slow, as many or as hostile as it likes and no restart is late for it.

pub mod aiwg;
pub mod client;
pub mod controller;
pub mod error;
pub mod events;
pub mod feed;
pub mod jobs;
pub mod mailbox;
pub mod message;
pub mod method;
pub mod objects;
pub mod place;
pub mod plan;
pub mod reading;
pub mod request;
pub mod runs;
pub mod schema;
pub mod server;
pub mod wire;

pub use error::{Error, code};
pub use method::{Answer, Caller, Context, Effect, Method};
pub use server::Server;

/// Every method there is, by family. A family is a file with a list of its own; it is known once it stands here.
pub const FAMILIES: &[&[Method]] = &[
    aiwg::METHODS,
    controller::METHODS,
    events::METHODS,
    jobs::METHODS,
    mailbox::METHODS,
    objects::METHODS,
    plan::METHODS,
    reading::METHODS,
    request::METHODS,
    runs::METHODS,
];
