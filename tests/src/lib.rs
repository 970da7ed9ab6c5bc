//! Helpers shared by the integration tests.

pub mod clock;
pub mod faults;
pub mod fuzz;
pub mod heap;
pub mod models;
pub mod raw;
pub mod readers;
pub mod reference;
pub mod shared;
pub mod synthetic;
