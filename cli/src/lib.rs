//! The composition root and the user's commands.
//!
//! The only crate that reads flags, environment and files, and spawns root tasks. A library too, so that tests compose
//! exactly what the binary runs. Start at [`serve`] for how the parts are put together, at [`command`] for the commands.

pub mod admin;
pub mod command;
pub mod config;
pub mod demo;
pub mod failure;
pub mod identity;
pub mod kubeconfig;
pub mod playground_dir;
pub mod register;
pub mod serve;
pub mod up;
