//! Any bytes as the file of a region, or over one that is whole: it opens and works, or is refused and left alone.
#![no_main]

#[path = "../../../tests/support/hostile.rs"]
mod hostile;

use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use hostile::{Image, Work};
use libfuzzer_sys::fuzz_target;

fn image() -> &'static (String, Image) {
    static IMAGE: OnceLock<(String, Image)> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let name = format!("fuzz-file-{}", std::process::id());
        (name.clone(), Image::new(&name))
    })
}

fuzz_target!(|bytes: &[u8]| {
    let (name, image) = image();
    let Some((&how, rest)) = bytes.split_first() else { return };
    if how.is_multiple_of(2) {
        hostile::write(name, rest);
    } else {
        // At a multiple of eight; the length too may be another.
        let file = image.write(name);
        let (at, rest) = rest.split_at(rest.len().min(3));
        let at = at.iter().fold(0, |at, &byte| at << 8 | u64::from(byte)) * 8 % hostile::CONTROL;
        file.write_all_at(rest, at).unwrap();
        if how.is_multiple_of(8) {
            file.set_len(at).unwrap();
        }
    }
    if let Some(region) = hostile::open(name) {
        let mut work = Work::on(&region, &image.keys);
        (0..hostile::STEPS).for_each(|kind| work.step(kind, u64::from(how)));
    }
    std::fs::remove_file(hostile::path_of(name)).unwrap();
});
