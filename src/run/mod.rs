//! Running hooks: a leash for each, and what passes between libvirt, hookmux and them.

mod active;
pub mod arguments;
pub mod background;
pub mod capture;
pub mod document_file;
pub mod environment;
pub mod exchange;
pub mod feed;
pub mod input;
pub mod job;
pub mod launch;
pub mod locks;
pub mod privileges;
pub mod processes;
pub mod shell;
pub mod steering;
pub mod steps;
pub mod stored_job;
pub mod supervise;
pub mod sys;
pub mod trash;
