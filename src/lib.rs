//! setpoint: kubectl apply for one machine.
#![doc = include_str!("../ADR/ARCHITECTURE.md")]
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod call;
pub mod cli;
pub mod controller;
pub mod desired;
pub mod engine;
pub mod execute;
pub mod home;
pub mod import;
pub mod job;
pub mod kind;
pub mod load;
pub mod mailbox;
pub mod observe;
pub mod probe;
pub mod record;
pub mod request;
pub mod rpc;
pub mod shim;
pub mod store;
pub mod watch;
