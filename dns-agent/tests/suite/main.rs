//! Everything above single modules: answers as data, messages against an independent reader, and whole agents on
//! loopback. One binary, because linking is what takes the time.
#![cfg(test)]

mod access;
mod answers;
mod command;
mod doubts;
mod ending;
mod explaining;
mod faults;
mod hostile;
mod kubernetes;
mod lifetimes;
mod loops;
mod messages;
mod overlap;
mod page;
mod properties;
mod ranges;
mod relaying;
mod reloading;
mod said_by_clusters;
mod serving;
mod shadow;
mod snapshot;
mod support;
mod upstream;
