//! A program in machine code: whether it is one of this machine, and what loads it.

use std::env::consts::ARCH;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Cause, binfmt};
use crate::machine::files;

const HEADER_BYTES: usize = 64;
const SEGMENT_BYTES: usize = 56;
/// More than any program has.
const MAX_SEGMENTS: u16 = 1024;
/// `PT_INTERP`: the segment that names the loader.
const LOADER: u32 = 3;
/// `ET_EXEC` and `ET_DYN`.
const KINDS: [u16; 2] = [2, 3];

/// This machine's `e_machine`; `None` where it isn't known here.
fn machine() -> Option<u16> {
    Some(match ARCH {
        "x86_64" => 62,
        "aarch64" => 183,
        "riscv64" => 243,
        "loongarch64" => 258,
        _ => return None,
    })
}

/// The loader that a program names; `None` where it names none, or nobody knows.
///
/// # Errors
/// It is no program of this machine.
pub(super) fn loader(path: &Path) -> Result<Option<PathBuf>, Cause> {
    let Ok((file, _)) = files::open_regular(path) else { return Ok(None) };
    let mut header = [0; HEADER_BYTES];
    let read = fill(&file, &mut header, 0);
    let beginning = header.get(..read).unwrap_or_default();
    if binfmt::takes(path, beginning) {
        return Ok(None);
    }
    let Some(own) = machine() else { return Ok(None) };
    let is_whole = read == HEADER_BYTES;
    // 64 bits; a program of 32 is looked at by a part of the kernel that this one may not have
    if is_whole && header[4] == 1 {
        return Ok(None);
    }
    let is_ours = is_whole
        && header[4] == 2
        && header[5] == 1
        && KINDS.contains(&number(&header, 16))
        && number(&header, 18) == own
        && usize::from(number(&header, 54)) == SEGMENT_BYTES
        && (1..=MAX_SEGMENTS).contains(&number(&header, 56));
    if !is_ours {
        return Err(Cause::NotProgram);
    }
    let mut segments = vec![0; SEGMENT_BYTES * usize::from(number(&header, 56))];
    if fill(&file, &mut segments, long(&header, 32)) < segments.len() {
        return Err(Cause::NotProgram);
    }
    let loader = segments.chunks(SEGMENT_BYTES).find(|segment| {
        (u32::from(number(segment, 0)) | (u32::from(number(segment, 2)) << 16)) == LOADER
    });
    let Some(segment) = loader else { return Ok(None) };
    let length = usize::try_from(long(segment, 32)).unwrap_or(usize::MAX);
    if !(2..=libc::PATH_MAX as usize).contains(&length) {
        return Err(Cause::NotProgram);
    }
    let mut name = vec![0; length];
    if fill(&file, &mut name, long(segment, 8)) < length {
        return Err(Cause::Kernel(libc::EIO));
    }
    if name.last() != Some(&0) {
        return Err(Cause::NotProgram);
    }
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Some(PathBuf::from(OsStr::from_bytes(name))))
}

/// How many bytes could be read.
fn fill(file: &File, bytes: &mut [u8], at: u64) -> usize {
    let mut count = 0;
    while let Some(rest) = bytes.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + count as u64) {
            Ok(more) if more > 0 => count += more,
            _ => break,
        }
    }
    count
}

/// The lowest byte comes first on all machines that are known here.
fn number(bytes: &[u8], at: usize) -> u16 {
    let byte = |at: usize| u16::from(bytes.get(at).copied().unwrap_or_default());
    byte(at) | (byte(at + 1) << 8)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    (0..4).rev().fold(0, |sum, index| (sum << 16) | u64::from(number(bytes, at + index * 2)))
}
