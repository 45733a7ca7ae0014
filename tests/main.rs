//! hookmux without libvirt: every test plays libvirt's part, with a private hooks directory.
//!
//! `HOOKMUX_BIN` names another binary than the one cargo has just built. What needs root (another
//! user's files, private mounts) is skipped for others, and says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stderr, clippy::print_stdout)]

mod support;

use support::host::binary_under_test;

mod adoption;
mod ansible;
mod argv;
mod audit;
mod check;
mod check_files;
mod cli;
mod cockpit_json;
mod completions;
mod configuration;
mod contrib;
mod contrib_hooks;
mod contributing;
mod cpanel;
mod demo;
mod descriptors;
mod digest;
mod drop_in;
mod edit;
mod entries;
mod exchange;
mod exit_status;
mod export;
mod faults;
mod flood;
mod formats;
mod growth;
mod hooking;
mod hooks;
mod house;
mod injection;
mod journal;
mod json;
mod judgement;
mod leash;
mod life;
mod limits;
mod list;
mod manual;
mod metrics;
mod mistakes;
mod new;
mod not_run;
mod odd_files;
mod opennebula;
mod outbox;
mod outcomes;
mod pages;
mod parity;
mod plan_guest;
mod properties;
mod queue;
mod records;
mod registered;
mod registry;
mod reload;
mod remote;
mod retry;
mod rights;
mod running;
mod settings;
mod show_html;
mod state;
mod status;
mod terminal;
mod tree;
mod trust;
mod undo;
mod undo_lives;
mod undo_worker;
mod vdsm_tree;
mod waiting_jobs;
mod writing_hooks;
mod xml;
