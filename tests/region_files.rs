//! What is not a region, or not one for this build, is refused with both sides named.

mod support;

use std::fs::{File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};

use inplace::{Error, Lifespan, Region, RegionOptions};
use support::Name;

/// A region nobody is attached to, whose file a test may spoil.
fn left_behind(hint: &str) -> (Name, File) {
    let name = Name::new(hint);
    let options =
        RegionOptions::new().capacity(1 << 20).max_objects(1000).lifespan(Lifespan::Persistent);
    drop(options.create(&name).unwrap());
    let file = File::options().read(true).write(true).open(name.path()).unwrap();
    (name, file)
}

fn refused(name: &Name) -> Error {
    let (opened, made) = (Region::open(name), RegionOptions::new().open_or_create(name));
    assert!(name.exists(), "a file that is not understood is not removed");
    let error = opened.unwrap_err();
    assert_eq!(error.to_string(), made.unwrap_err().to_string());
    error
}

#[track_caller]
fn assert_mentions(error: &Error, words: &[&str]) {
    let text = error.to_string();
    assert!(
        words.iter().all(|word| text.contains(word)),
        "{text:?} does not mention all of {words:?}"
    );
}

#[test]
fn foreign_files_are_not_regions() {
    for content in [&b""[..], b"short", &[0; 4096], &[b'x'; 100_000]] {
        let name = Name::new("foreign");
        std::fs::write(name.path(), content).unwrap();
        std::fs::set_permissions(name.path(), Permissions::from_mode(0o600)).unwrap();
        let error = refused(&name);
        assert!(matches!(error, Error::NotARegion { .. }), "{error}");
        assert!(matches!(RegionOptions::new().create(&name), Err(Error::NotARegion { .. })));
        assert!(matches!(Region::destroy(&name), Err(Error::NotARegion { .. })));
        assert_eq!(std::fs::read(name.path()).unwrap(), content);
    }
}

#[test]
fn links_pipes_and_directories_are_not_regions() {
    let target = Name::new("target");
    std::fs::write(target.path(), [0; 8192]).unwrap();
    let name = Name::new("link");
    std::os::unix::fs::symlink(target.path(), name.path()).unwrap();
    assert_mentions(&refused(&name), &["symbolic link"]);
    let name = Name::new("pipe");
    nix::unistd::mkfifo(&name.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_mentions(&refused(&name), &["not a regular file"]);
    let name = Name::new("directory");
    std::fs::create_dir(name.path()).unwrap();
    assert_mentions(&refused(&name), &["directory"]);
    std::fs::remove_dir(name.path()).unwrap();
}

#[test]
fn another_magic_number_is_not_a_region() {
    let (name, file) = left_behind("magic");
    file.write_all_at(b"INPLACE9", 0).unwrap();
    assert!(matches!(refused(&name), Error::NotARegion { .. }));
}

#[test]
fn another_layout_version_is_named_beside_ours() {
    let (name, file) = left_behind("version");
    file.write_all_at(&77_u32.to_le_bytes(), 8).unwrap();
    assert_mentions(&refused(&name), &["layout version", "77", &*name]);
    Region::destroy(&name).unwrap();
}

#[test]
fn another_layout_fingerprint_is_named_beside_ours() {
    let (name, file) = left_behind("fingerprint");
    file.write_all_at(&0xabcd_u64.to_le_bytes(), 16).unwrap();
    assert_mentions(&refused(&name), &["layout fingerprint", "000000000000abcd"]);
}

#[test]
fn a_truncated_or_extended_file_is_refused_with_both_sizes() {
    for by in [-4096_i64, 4096] {
        let (name, file) = left_behind("size");
        let len = file.metadata().unwrap().len();
        let spoilt = len.checked_add_signed(by).unwrap();
        file.set_len(spoilt).unwrap();
        assert_mentions(&refused(&name), &["file size", &len.to_string(), &spoilt.to_string()]);
    }
}

#[test]
fn an_impossible_geometry_is_refused() {
    for (offset, value) in [(32, 0_u64), (32, u64::MAX), (40, 0), (40, u64::MAX), (24, 0), (12, 0)]
    {
        let (name, file) = left_behind("geometry");
        file.write_all_at(&value.to_le_bytes(), offset).unwrap();
        refused(&name);
    }
}

#[test]
fn a_geometry_that_was_demanded_is_compared_and_one_that_was_not_is_not() {
    let (name, _) = left_behind("demand");
    let demand = RegionOptions::new().capacity(2 << 20);
    for error in [demand.open(&name).unwrap_err(), demand.open_or_create(&name).unwrap_err()] {
        assert_mentions(&error, &["capacity", "1048576", "2097152", &*name]);
    }
    let _open = Region::open(&name).unwrap();
    assert_mentions(
        &RegionOptions::new().max_objects(7).open(&name).unwrap_err(),
        &["max_objects", "7", "1000"],
    );
    assert_eq!(RegionOptions::new().max_objects(1000).open(&name).unwrap().capacity(), 1 << 20);
}

#[test]
fn a_wider_mode_or_another_owner_is_refused_unless_allowed() {
    let (name, file) = left_behind("mode");
    file.set_permissions(Permissions::from_mode(0o666)).unwrap();
    let error = refused(&name);
    assert!(matches!(error, Error::AccessDenied { .. }));
    assert_mentions(&error, &["0666", "0600"]);
    RegionOptions::new().allow_wider_access().open(&name).unwrap();
    RegionOptions::new().mode(0o666).open(&name).unwrap();

    file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::fchown(&file, Some(12345), None).unwrap();
        assert_mentions(&refused(&name), &["user 12345", "expected 0"]);
        RegionOptions::new().allow_wider_access().open(&name).unwrap();
    }
}

#[test]
fn a_region_has_the_mode_it_was_created_with() {
    for mode in [0o600, 0o660] {
        let name = Name::new("created");
        let _region = RegionOptions::new().capacity(1 << 16).mode(mode).create(&name).unwrap();
        assert_eq!(name.path().metadata().unwrap().permissions().mode() & 0o777, mode);
    }
}

#[test]
fn names_that_can_not_be_file_names_are_refused() {
    let long = "n".repeat(201);
    for name in ["", "a/b", "../x", "a\0b", ".", "..", &long] {
        for outcome in [
            Region::open(name),
            RegionOptions::new().create(name),
            RegionOptions::new().open_or_create(name),
        ] {
            let error = outcome.unwrap_err();
            assert!(matches!(error, Error::InvalidName { what: "region", .. }), "{error}");
        }
        assert!(matches!(Region::destroy(name), Err(Error::InvalidName { .. })));
    }
}
