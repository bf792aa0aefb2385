//! Files that are not, or not quite, a region of this build: refused with what was expected and found, and left alone.

mod support;

#[path = "support/hostile.rs"]
mod hostile;
#[path = "support/survivors.rs"]
mod survivors;

use std::os::unix::fs::FileExt;

use hostile::{Image, Work};
use inplace::{Error, Lifespan, Region};
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use support::random::bytes;
use support::{Name, start_child, watch_for};
use survivors::{endings, seeds, survive};

/// Bytes of the header that say what the file is; the rest of its first line is for people.
const CONSTANT: u64 = 48;

#[track_caller]
fn is_refused(name: &str) -> Error {
    let error = Region::open(name).unwrap_err();
    assert!(hostile::path_of(name).exists(), "the file was removed: {error}");
    let both_sides = matches!(error, Error::NotARegion { .. } | Error::LayoutMismatch { .. });
    assert!(both_sides, "{error}");
    error
}

#[test]
fn a_file_of_any_other_length_is_refused() {
    let name = Name::new("length");
    let image = Image::new(&name);
    let whole = image.bytes().len() as u64;
    let mut lengths = vec![0, 1, 7, 8, 16, 63, 64, 383, 384, 4095, 4096, 4097];
    for (start, len, _) in hostile::AREAS {
        lengths.extend([start, start + len - 1, start + len]);
    }
    lengths.extend([hostile::CONTROL - 1, hostile::CONTROL, hostile::CONTROL + 1]);
    lengths.extend([whole - 65_536, whole - 1, whole + 1, whole + 4096, whole * 2, 1 << 40]);
    for len in lengths {
        let file = image.write(&name);
        file.set_len(len).unwrap();
        let text = is_refused(&name).to_string();
        assert!(text.contains(&format!(" {len}")), "{text:?} does not say {len}");
        assert_eq!(file.metadata().unwrap().len(), len);
    }
}

#[test]
fn every_single_wrong_bit_of_what_a_header_says_once_is_refused() {
    let name = Name::new("bits");
    let image = Image::new(&name);
    let file = image.write(&name);
    let right = &image.bytes()[..CONSTANT as usize];
    for bit in 0..CONSTANT * 8 {
        let (at, mask) = (bit / 8, 1 << (bit % 8));
        file.write_all_at(&[right[at as usize] ^ mask], at).unwrap();
        is_refused(&name);
        file.write_all_at(&[right[at as usize]], at).unwrap();
    }
    Region::open(&name).unwrap();
}

#[test]
fn a_wrong_seal_is_refused_with_both() {
    let name = Name::new("seal");
    let image = Image::new(&name);
    let file = image.write(&name);
    file.write_all_at(&0x1234_u64.to_le_bytes(), 88).unwrap();
    let text = is_refused(&name).to_string();
    assert!(text.contains("seal is 0000000000001234"), "{text}");
}

#[test]
fn bounds_that_no_region_has_are_refused_with_what_is_possible() {
    let name = Name::new("bounds");
    let image = Image::new(&name);
    for (at, what, wrong) in [
        (64, "index chunks", [0, 2, u32::MAX]),
        (68, "participants", [0, 5, u32::MAX]),
        (72, "unit table entries", [0, 15, u32::MAX]),
    ] {
        for number in wrong {
            let file = image.write(&name);
            file.write_all_at(&number.to_le_bytes(), at).unwrap();
            let text = is_refused(&name).to_string();
            assert!(text.contains(what) && text.contains(&format!(" {number} ")), "{text}");
        }
    }
}

#[test]
fn the_header_of_another_build_is_refused_with_both_layouts() {
    let name = Name::new("build");
    let image = Image::new(&name);
    for (at, what) in [(8, "layout version"), (16, "layout fingerprint")] {
        let file = image.write(&name);
        let mut word = [0; 4];
        file.read_exact_at(&mut word, at).unwrap();
        let other = u32::from_le_bytes(word).wrapping_sub(1);
        file.write_all_at(&other.to_le_bytes(), at).unwrap();
        let text = is_refused(&name).to_string();
        assert!(text.contains(what) && text.contains("expected"), "{text}");
    }
}

#[test]
fn zeros_instead_of_a_part_of_the_file_are_refused_or_work() {
    let name = Name::new("zeros");
    let image = Image::new(&name);
    let parts = hostile::AREAS.iter().map(|&(start, len, _)| (start, len));
    let parts: Vec<_> = parts.chain([(0, 384), (4096, hostile::CONTROL - 4096)]).collect();
    survive(0..parts.len() as u64, |part| {
        let (start, len) = parts[part as usize];
        let file = image.write(&name);
        file.write_all_at(&vec![0; len as usize], start).unwrap();
        if let Some(region) = hostile::open(&name) {
            Work::on(&region, &image.keys).everything();
        }
    });
}

#[test]
fn a_file_of_which_only_the_header_is_there_works_or_is_refused() {
    let name = Name::new("sparse");
    let image = Image::new(&name);
    survive(0..2, |whole_line| {
        let header = [48, 384][whole_line as usize];
        let file = hostile::write(&name, &image.bytes()[..header]);
        file.set_len(image.bytes().len() as u64).unwrap();
        if let Some(region) = hostile::open(&name) {
            Work::on(&region, &image.keys).everything();
        }
    });
}

#[test]
fn a_header_over_random_bytes_works_or_is_refused() {
    let name = Name::new("random");
    let image = Image::new(&name);
    survive(seeds(8), |seed| {
        let file = image.write(&name);
        for (start, len, _) in hostile::AREAS {
            let noise = bytes(seed ^ start, 2 * len);
            let noise = &noise[..noise.len().min(len as usize)];
            if start != hostile::BOUNDS.0 || seed.is_multiple_of(4) {
                file.write_all_at(noise, start).unwrap();
            }
        }
        if let Some(region) = hostile::open(&name) {
            Work::on(&region, &image.keys).everything();
        }
    });
}

#[test]
fn random_files_are_refused() {
    let name = Name::new("noise");
    survive(seeds(100), |seed| {
        let mut noise = bytes(seed, 20_000);
        if noise.len() > 8 && seed.is_multiple_of(2) {
            noise[..8].copy_from_slice(b"INPLACE1");
        }
        hostile::write(&name, &noise);
        is_refused(&name);
    });
}

/// What the kernel answers to one who touches a mapped page behind the new end of a file; see "Trust" in the design.
fn is_the_kernels(status: &WaitStatus) -> bool {
    matches!(status, WaitStatus::Signaled(_, Signal::SIGBUS, _))
}

#[test]
fn a_file_that_is_truncated_while_it_is_opened_neither_hangs_nor_panics() {
    let name = Name::new("racing");
    let image = Image::new(&name);
    let len = image.bytes().len() as u64;
    let file = image.write(&name);
    let racer = start_child(|| {
        watch_for(60);
        for round in 0.. {
            file.set_len([0, 4096, 50_000, len - 1][round % 4]).unwrap();
            file.write_all_at(image.bytes(), 0).unwrap();
        }
        0
    });
    let failures = endings(0..40, |_| drop(Region::open(&name)), is_the_kernels);
    racer.kill();
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn a_region_whose_file_is_truncated_is_refused_to_those_who_come_later() {
    let name = Name::new("later");
    let region = hostile::options().lifespan(Lifespan::Persistent).create(&name).unwrap();
    let file = std::fs::File::options().write(true).open(name.path()).unwrap();
    file.set_len(hostile::CONTROL).unwrap();
    drop(region);
    is_refused(&name);
}
