//! ELF programs: whether one is for this machine, and which loader it names.

use std::env::consts::ARCH;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{ObstacleCause, binfmt};
use crate::machine::files;

const HEADER_BYTES: usize = 64;
const SEGMENT_BYTES: usize = 56;
/// The largest number of segments that is read; programs have fewer.
const MAX_SEGMENTS: u16 = 1024;
/// The type of the segment that names the loader.
const PT_INTERP: u32 = 3;
/// `ET_EXEC` and `ET_DYN`.
const ELF_TYPES: [u16; 2] = [2, 3];

/// Returns this machine's `e_machine`; `None` where it isn't known here.
fn machine() -> Option<u16> {
    Some(match ARCH {
        "x86_64" => 62,
        "aarch64" => 183,
        "riscv64" => 243,
        "loongarch64" => 258,
        _ => return None,
    })
}

/// Returns the loader that a program names; `None` where it names none, or it can't be found out.
///
/// # Errors
/// It is not a program for this machine.
pub(super) fn loader(path: &Path) -> Result<Option<PathBuf>, ObstacleCause> {
    let Ok((file, _)) = files::open_regular(path) else { return Ok(None) };
    let mut header = [0; HEADER_BYTES];
    let read = read_at(&file, &mut header, 0);
    let beginning = header.get(..read).unwrap_or_default();
    if binfmt::handles(path, beginning) {
        return Ok(None);
    }
    let Some(own) = machine() else { return Ok(None) };
    let is_whole = read == HEADER_BYTES;
    // 64-bit programs only; a 32-bit program is loaded by a part of the kernel that may be missing
    if is_whole && header[4] == 1 {
        return Ok(None);
    }
    let is_ours = is_whole
        && header[4] == 2
        && header[5] == 1
        && ELF_TYPES.contains(&read_u16(&header, 16))
        && read_u16(&header, 18) == own
        && usize::from(read_u16(&header, 54)) == SEGMENT_BYTES
        && (1..=MAX_SEGMENTS).contains(&read_u16(&header, 56));
    if !is_ours {
        return Err(ObstacleCause::NotProgram);
    }
    let mut segments = vec![0; SEGMENT_BYTES * usize::from(read_u16(&header, 56))];
    if read_at(&file, &mut segments, read_u64(&header, 32)) < segments.len() {
        return Err(ObstacleCause::NotProgram);
    }
    let loader = segments.chunks(SEGMENT_BYTES).find(|segment| {
        (u32::from(read_u16(segment, 0)) | (u32::from(read_u16(segment, 2)) << 16)) == PT_INTERP
    });
    let Some(segment) = loader else { return Ok(None) };
    let length = usize::try_from(read_u64(segment, 32)).unwrap_or(usize::MAX);
    if !(2..=libc::PATH_MAX as usize).contains(&length) {
        return Err(ObstacleCause::NotProgram);
    }
    let mut name = vec![0; length];
    if read_at(&file, &mut name, read_u64(segment, 8)) < length {
        return Err(ObstacleCause::Kernel(libc::EIO));
    }
    if name.last() != Some(&0) {
        return Err(ObstacleCause::NotProgram);
    }
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Some(PathBuf::from(OsStr::from_bytes(name))))
}

/// Reads bytes at an offset. Returns how many could be read.
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> usize {
    let mut count = 0;
    while let Some(rest) = bytes.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + count as u64) {
            Ok(more) if more > 0 => count += more,
            _ => break,
        }
    }
    count
}

/// Reads a number; all machines that are known here are little-endian.
fn read_u16(bytes: &[u8], at: usize) -> u16 {
    let byte = |at: usize| u16::from(bytes.get(at).copied().unwrap_or_default());
    byte(at) | (byte(at + 1) << 8)
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    (0..4).rev().fold(0, |sum, index| (sum << 16) | u64::from(read_u16(bytes, at + index * 2)))
}
