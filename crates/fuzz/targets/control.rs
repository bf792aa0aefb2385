//! Wrong words in the control area, and a sequence of operations, both decoded from the input.
#![no_main]

#[path = "../../../tests/support/hostile.rs"]
mod hostile;

use std::sync::OnceLock;

use hostile::Image;
use libfuzzer_sys::fuzz_target;

fn image() -> &'static (String, Image) {
    static IMAGE: OnceLock<(String, Image)> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let name = format!("fuzz-control-{}", std::process::id());
        (name.clone(), Image::new(&name))
    })
}

fuzz_target!(|bytes: &[u8]| {
    let (name, image) = image();
    hostile::control(image, (name, bytes), |_| ());
});
