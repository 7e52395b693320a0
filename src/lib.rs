//! setpoint: kubectl apply for one machine.

pub mod cli;
pub mod controller;
pub mod desired;
pub mod engine;
pub mod execute;
pub mod home;
pub mod kind;
pub mod load;
pub mod observe;
pub mod record;
pub mod shim;
