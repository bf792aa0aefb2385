//! What the project promises itself.

/// The most an operation may cost.
pub(crate) enum Target {
    /// Times its baseline.
    Ratio(f64),
    /// Times an uncontended atomic addition.
    FetchAdds(f64),
    /// Absolutely.
    Nanoseconds(f64),
}

const MIB: usize = 1 << 20;

pub(crate) fn target(op: &str, bytes: usize) -> Option<Target> {
    Some(match op {
        "put" if bytes <= 64 => Target::FetchAdds(8.0),
        "put" if bytes >= MIB => Target::Ratio(1.10),
        "put_fresh" => Target::Ratio(1.15),
        "put_small_typed" => Target::FetchAdds(12.0),
        "put_typed" if bytes >= 64 * MIB => Target::Ratio(1.15),
        "get" => Target::FetchAdds(3.5),
        "get_typed" | "get_small_typed" => Target::FetchAdds(5.5),
        "get_2" => Target::Ratio(1.15),
        "deref" => Target::Nanoseconds(2.0),
        "evict_16" => Target::FetchAdds(30.0),
        "rtt" if bytes <= 64 => Target::Ratio(1.5),
        "rtt" if bytes >= MIB => Target::Ratio(1.05),
        "wakeup_same_core" | "wakeup_cross_core" => Target::Ratio(1.2),
        _ => return None,
    })
}
