//! Calls as a shim starts them: our own program with an order on standard input, against real servers.
//!
//! In: nothing. Out: pass or fail. Not here: the shim and the controller above a call.
//! The surprise: every server is bound to a port of the system's choice on the loopback, and nothing leaves it.

#[path = "call/http.rs"]
mod http;
#[path = "call/mcp.rs"]
mod mcp;
#[path = "call/orders.rs"]
mod orders;
#[path = "call/support.rs"]
mod support;
