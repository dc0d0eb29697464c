//! What Kubernetes objects look like, and every judgement on them that needs nothing but the object.
//!
//! [`facts`] is the table of kinds that everything here reads: [`decode`] turns bodies into canonical JSON, [`patch`]
//! changes it, [`managed`] keeps who owns which field, [`defaults`] fills in, [`validate`] refuses, [`selector`] matches.
//! Pure: no clock, no I/O, no stored objects. A new kind is a row of the table and no code.

pub mod cel;
pub mod crd;
pub mod decode;
pub mod defaults;
pub mod facts;
pub mod field;
pub mod flowcontrol;
pub mod jsonpath;
pub mod managed;
pub mod patch;
pub mod pattern;
pub mod policy;
pub mod quantity;
pub mod selector;
pub mod structural;
pub mod validate;
